/* The middle of run, attach and logs: a process stream on one side, descriptors 0, 1, 2 and signals
 * on the other.
 */
#ifndef NSCTL_STREAM_H
#define NSCTL_STREAM_H

#include "client/nsctl.h"

struct nsctl_stream_options {
    bool use_stdin; /* descriptor 0 is the process's standard input */
    bool own;       /* signals that nsctl gets are for the process */
    bool keep;      /* it shall outlive a reader that goes away */
};

/* Runs until the stream is over. Returns nsctl's exit status: that of the process once it has
 * exited, NSCTL_OK for a stream that ends before. Takes nothing over. *ret_forget: the process has
 * ended and everything was received. */
int nsctl_stream_run(struct nsctl *ctl, struct nsp_process *process,
                     const struct nsctl_stream_options *options, bool *ret_forget);

#endif
