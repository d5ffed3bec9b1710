/* A member's name may contain what separates the steps of a path ("net.ipv4.ip_forward"), and an
 * error's object may be cut: so the path is not split, but each object asked which of its names the
 * path goes on with, and the longest is taken.
 */
#include "agent/rpc/json_path.h"

#include <stdlib.h>
#include <string.h>

/* *path is behind the name on success. */
static const struct json *find_member(const struct json *object, const char **path)
{
    const struct json *found = NULL;
    size_t longest = 0;
    for (const struct json *at = json_first(object); at; at = json_next(at)) {
        size_t length = strlen(json_name(at));
        if (strncmp(*path, json_name(at), length) == 0 && strchr(".[", (*path)[length]) &&
            (!found || length > longest)) {
            found = at;
            longest = length;
        }
    }
    *path += longest;
    return found;
}

static const struct json *find_element(const struct json *array, const char **path)
{
    char *end;
    if ((*path)[0] != '[' || (*path)[1] < '0' || (*path)[1] > '9')
        return NULL;
    unsigned long index = strtoul(*path + 1, &end, 10);
    if (*end != ']')
        return NULL;
    *path = end + 1;
    const struct json *at = json_first(array);
    while (at && index-- > 0)
        at = json_next(at);
    return at;
}

const struct json *json_path_find(const struct json_document *document, const char *path)
{
    const struct json *value = json_root(document);
    while (*path) {
        const struct json *next = NULL;
        if (json_type(value) == JSON_ARRAY) {
            next = find_element(value, &path);
        } else if (json_type(value) == JSON_OBJECT) {
            path += value != json_root(document) && *path == '.';
            next = find_member(value, &path);
        }
        if (!next)
            break;
        value = next;
    }
    return value;
}

void json_path_position(const char *text, size_t offset, size_t *ret_line, size_t *ret_column)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < offset; i++) {
        if (text[i] == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)text[i] & 0xC0) != 0x80) {
            column++;
        }
    }
    *ret_line = line;
    *ret_column = column;
}

size_t json_path_line(const struct json_document *document, const char *text, const char *path)
{
    const char *at;
    size_t length, line, column;
    json_raw(document, json_path_find(document, path), &at, &length);
    json_path_position(text, (size_t)(at - text), &line, &column);
    return line;
}
