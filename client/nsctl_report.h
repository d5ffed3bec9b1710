/* What nsctl says about itself: errors and remarks on standard error, JSON on standard output.
 */
#ifndef NSCTL_REPORT_H
#define NSCTL_REPORT_H

#include "client/nsctl.h"

/* "nsctl: ..." on standard error. */
void nsctl_report_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The error for people or, with --json, as {"error":…} on standard output. Returns NSCTL_ERROR. */
int nsctl_report_error(const struct nsctl *ctl, const struct nsp_error *error);
/* One line of text on standard output. NSCTL_OK, or NSCTL_ERROR when it could not be written. */
int nsctl_report_line(const char *text);

#endif
