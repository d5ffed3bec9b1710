/* Writing a small file of the system, as /etc/resolv.conf, wherever the image lets us.
 *
 * In this order: a temporary file beside it and rename(2), so that a reader sees the old or the new
 * text, also where the path is a symbolic link, dangling or not (the link is replaced); in place,
 * when the directory is read-only or the file is a mount point, making the directories that a
 * dangling link leads to; and, when that fails too, the fallback file mounted over it. Nothing is
 * done when the file has that text.
 *
 * Follows no rule about who may do so: for files that only root can replace.
 */
#ifndef AGENT_SYSTEMFILE_H
#define AGENT_SYSTEMFILE_H

#include <stddef.h>

#include "protocol/error.h"

/* Mode 0644. path, fallback: absolute; fallback NULL: none. SYSTEM, PERMISSION with the path as
 * object, and the errno of writing in place. */
int systemfile_write(const char *path, const char *fallback, const void *text, size_t length,
                     struct nsp_error *err);

#endif
