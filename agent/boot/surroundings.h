/* What a process finds that says nothing of its own: where it starts, and its environment. */
#ifndef AGENT_SURROUNDINGS_H
#define AGENT_SURROUNDINGS_H

/* The workspace, or where it is no directory our own HOME, or "/". */
const char *surroundings_directory(const char *workspace);

/* Our own environment with what every program expects, and with what is added ("NAME=value", NULL:
 * nothing). Borrowed strings in a new array, for free(3); NULL without memory. */
char **surroundings_environment(char *const *added);

#endif
