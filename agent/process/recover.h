/* Taking over from an agent that died: the same steps serve a crash and an upgrade.
 *
 * In this order: the table and the arena are mapped; the staging pipes are emptied into where their
 * bytes belong; every used record becomes a struct process with the descriptors of the store; the
 * exit log is read on from where it was. Nothing the dead agent had told a client is needed.
 */
#ifndef AGENT_RECOVER_H
#define AGENT_RECOVER_H

#include "agent/process/ends.h"
#include "agent/process/processes.h"

/* Makes the process of a used record again. Takes its ends in every case. A record that cannot be
 * used is freed, with a word in the log. Without memory the agent cannot go on. */
int recover_process(struct processes *set, unsigned slot, const struct ends *found,
                    struct nsp_error *err);

/* Where the bytes in the staging pipes belong. Before recover_process. */
int recover_stages(struct processes *set, struct nsp_error *err);

#endif
