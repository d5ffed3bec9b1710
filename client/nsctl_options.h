/* Reading nsctl's command line by the option tables, and printing help from them.
 */
#ifndef NSCTL_OPTIONS_H
#define NSCTL_OPTIONS_H

#include "client/nsctl.h"

/* The global options up to the command's name, which is argv[*ret_next] (argc when there is none).
 * INVALID_PARAMS with a sentence for the user. */
int nsctl_options_global(int argc, char **argv, struct nsctl_settings *settings, int *ret_next,
                         struct nsp_error *err);
/* What follows the command's name: its options, global ones too, and words. */
int nsctl_options_command(const struct nsctl_command *command, int argc, char **argv,
                          struct nsctl_settings *settings, struct nsp_error *err);
void nsctl_options_done(struct nsctl_settings *settings);

void nsctl_options_help(void);
void nsctl_options_command_help(const struct nsctl_command *command);

#endif
