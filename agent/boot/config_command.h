/* nullspace-agent check-config [FILE] */
#ifndef AGENT_CONFIG_COMMAND_H
#define AGENT_CONFIG_COMMAND_H

/* argv: from the word check-config on. Prints "FILE: ok", or what is wrong to standard error. The
 * exit status: 0; 1 for a file with an error; 2 when it cannot be read, or for another usage. */
int config_command_run(int argc, char **argv);

#endif
