/* How a process ended, from JSON; its public part is in nsclient.h.
 */
#ifndef NSP_EXIT_H
#define NSP_EXIT_H

#include "client/json.h"
#include "client/nsclient.h"

/* An exit object of PROTOCOL.md section 10; NULL or null means that it has not exited. */
void nsp_exit_read(const struct nsp_json *json, struct nsp_exit *ret_exit);

#endif
