/* Where in a text the value is that an error names: from "network.links[0].mtu" to a line. */
#ifndef AGENT_JSON_PATH_H
#define AGENT_JSON_PATH_H

#include "agent/rpc/json.h"

/* The value at the path; where the path goes on to what is not there, the last one on the way. */
const struct json *json_path_find(const struct json_document *document, const char *path);

/* The line of that value, from 1. text is what the document was parsed from. */
size_t json_path_line(const struct json_document *document, const char *text, const char *path);

/* The line and column, both from 1, of a byte. Columns count characters. */
void json_path_position(const char *text, size_t offset, size_t *ret_line, size_t *ret_column);

#endif
