/* The environment of a new process: a default one, then variables that are added. */
#ifndef AGENT_ENVIRONMENT_H
#define AGENT_ENVIRONMENT_H

/* Borrowed strings in a new NULL-terminated array, which the caller frees; NULL without memory. An
 * added variable replaces the default's of the same name. added: NULL is none. */
char **environment_merge(char *const *defaults, char *const *added);

#endif
