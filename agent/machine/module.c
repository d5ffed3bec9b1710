/* modules.dep has a line for each module: its file, a colon, and the files of all that it needs,
 * directly or not, where each stands before those it needs itself. So the line is loaded from its
 * end to its beginning. */
#include "agent/machine/module.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/base/log.h"
#include "protocol/cleanup.h"

#ifndef MODULE_INIT_COMPRESSED_FILE
#define MODULE_INIT_COMPRESSED_FILE 4
#endif

enum { PATH_BYTES = 512, NAME_BYTES = 64 };

/* A whole file; empty when it is not there. */
struct text {
    char *start;
    size_t length;
};

/* A line, or a word of one, without what ends it. */
struct part {
    const char *start;
    size_t length;
};

static void text_close(struct text *text)
{
    if (text->start)
        munmap(text->start, text->length);
}

static struct text text_open(const struct module_source *source, const char *name)
{
    char path[PATH_BYTES];
    struct stat status;
    snprintf(path, sizeof path, "%s/%s", source->directory, name);
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0 || status.st_size <= 0)
        return (struct text){NULL, 0};
    size_t length = (size_t)status.st_size;
    void *start = mmap(NULL, length, PROT_READ, MAP_PRIVATE, fd, 0);
    return start == MAP_FAILED ? (struct text){NULL, 0} : (struct text){start, length};
}

static bool next_line(const struct text *text, struct part *line)
{
    if (!text->start)
        return false;
    const char *end = text->start + text->length;
    const char *start = line->start ? line->start + line->length + 1 : text->start;
    if (start >= end)
        return false;
    const char *newline = memchr(start, '\n', (size_t)(end - start));
    *line = (struct part){start, (size_t)((newline ? newline : end) - start)};
    return true;
}

static bool next_word(const struct part *line, struct part *word)
{
    const char *end = line->start + line->length;
    const char *start = word->start ? word->start + word->length : line->start;
    while (start < end && *start == ' ')
        start++;
    *word = (struct part){start, 0};
    while (start + word->length < end && start[word->length] != ' ')
        word->length++;
    return word->length > 0;
}

static char folded(char c)
{
    return c == '-' ? '_' : c;
}

static bool same_name(const char *a, size_t length, const char *b)
{
    for (size_t i = 0; i < length; i++)
        if (folded(a[i]) != folded(b[i]))
            return false;
    return b[length] == '\0';
}

/* "kernel/fs/fuse/fuse.ko.xz" is the module fuse. */
static bool is_file_of(const struct part *path, const char *name)
{
    const char *end = path->start + path->length, *base = end;
    while (base > path->start && base[-1] != '/')
        base--;
    const char *suffix = memmem(base, (size_t)(end - base), ".ko", 3);
    return suffix && same_name(base, (size_t)(suffix - base), name);
}

static bool is_there(const struct module_source *source, const char *name)
{
    char path[PATH_BYTES];
    int used = snprintf(path, sizeof path, "%s/", source->loaded);
    for (size_t i = 0; name[i] && (size_t)used < sizeof path - 1; i++)
        path[used++] = folded(name[i]);
    path[used] = '\0';
    return access(path, F_OK) == 0;
}

static int refuse(const char *path, bool is_compressed, struct nsp_error *err)
{
    if (is_compressed && (errno == EOPNOTSUPP || errno == EINVAL))
        return nsp_fail_on(err, NSP_E_UNSUPPORTED, path,
                           "this kernel cannot decompress its modules itself");
    if (errno == ENOSYS)
        return nsp_fail_on(err, NSP_E_UNSUPPORTED, path, "this kernel has no modules");
    enum nsp_error_code code = errno == EPERM ? NSP_E_PERMISSION : NSP_E_SYSTEM;
    return nsp_fail_errno(err, code, errno, "finit_module", path);
}

static int insert(const struct module_source *source, const struct part *file,
                  struct nsp_error *err)
{
    char path[PATH_BYTES];
    int length =
        snprintf(path, sizeof path, "%s/%.*s", source->directory, (int)file->length, file->start);
    if (length < 0 || (size_t)length >= sizeof path)
        return nsp_fail_errno(err, NSP_E_SYSTEM, ENAMETOOLONG, "open", path);
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return nsp_fail_errno(err, errno == ENOENT ? NSP_E_NOT_FOUND : NSP_E_SYSTEM, errno, "open",
                              path);
    bool is_compressed = strcmp(path + length - 3, ".ko") != 0;
    if (source->insert(source->arg, fd, is_compressed, path) < 0 && errno != EEXIST)
        return refuse(path, is_compressed, err);
    return 0;
}

/* line: of modules.dep. */
static int load_line(const struct module_source *source, const struct part *line,
                     struct nsp_error *err)
{
    const char *colon = memchr(line->start, ':', line->length);
    const char *first = colon + 1, *end = line->start + line->length;
    while (end > first) {
        const char *start = end;
        while (start > first && start[-1] != ' ')
            start--;
        const struct part file = {start, (size_t)(end - start)};
        if (file.length > 0 && insert(source, &file, err) < 0)
            return -1;
        end = start > first ? start - 1 : first;
    }
    return insert(source, &(struct part){line->start, (size_t)(colon - line->start)}, err);
}

static bool find_dependencies(const struct text *dependencies, const char *name,
                              struct part *ret_line)
{
    struct part line = {NULL, 0};
    while (next_line(dependencies, &line)) {
        const char *colon = memchr(line.start, ':', line.length);
        if (!colon || !is_file_of(&(struct part){line.start, (size_t)(colon - line.start)}, name))
            continue;
        *ret_line = line;
        return true;
    }
    return false;
}

static bool is_built_in(const struct module_source *source, const char *name)
{
    AUTO(text_close) struct text text = text_open(source, "modules.builtin");
    struct part line = {NULL, 0};
    while (next_line(&text, &line))
        if (is_file_of(&line, name))
            return true;
    return false;
}

/* "alias PATTERN MODULE"; the first that matches. */
static bool find_alias(const struct module_source *source, const char *alias,
                       char ret_name[NAME_BYTES])
{
    AUTO(text_close) struct text text = text_open(source, "modules.alias");
    struct part line = {NULL, 0};
    char pattern[PATH_BYTES];
    while (next_line(&text, &line)) {
        struct part word = {NULL, 0}, module;
        if (!next_word(&line, &word) || !same_name(word.start, word.length, "alias") ||
            !next_word(&line, &word))
            continue;
        module = word;
        if (!next_word(&line, &module) || word.length >= sizeof pattern ||
            module.length >= NAME_BYTES)
            continue;
        memcpy(pattern, word.start, word.length);
        pattern[word.length] = '\0';
        if (fnmatch(pattern, alias, 0) != 0)
            continue;
        memcpy(ret_name, module.start, module.length);
        ret_name[module.length] = '\0';
        return true;
    }
    return false;
}

/* 1: loaded or there already; 0: no module of this name. */
static int load_named(const struct module_source *source, const char *name, struct nsp_error *err)
{
    if (is_there(source, name))
        return 1;
    AUTO(text_close) struct text dependencies = text_open(source, "modules.dep");
    struct part line;
    if (find_dependencies(&dependencies, name, &line))
        return load_line(source, &line, err) < 0 ? -1 : 1;
    return is_built_in(source, name);
}

int module_load_from(const struct module_source *source, const char *name, struct nsp_error *err)
{
    char real[NAME_BYTES];
    if (strchr(name, '/') || !name[0])
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, name, "this is no name of a module");
    int result = load_named(source, name, err);
    if (result == 0 && find_alias(source, name, real))
        result = load_named(source, real, err);
    if (result == 0)
        return nsp_fail_on(err, NSP_E_NOT_FOUND, name, "%s has no module of this name",
                           source->directory);
    return result < 0 ? -1 : 0;
}

static int insert_into_kernel(void *arg, int fd, bool is_compressed, const char *path)
{
    (void)arg;
    (void)path;
    int flags = is_compressed ? MODULE_INIT_COMPRESSED_FILE : 0;
    return (int)syscall(SYS_finit_module, fd, "", flags);
}

bool module_is_modular(void)
{
    return access("/proc/modules", F_OK) == 0;
}

int module_load(const char *name, struct nsp_error *err)
{
    struct utsname kernel;
    char directory[PATH_BYTES];
    if (uname(&kernel) < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "uname", NULL);
    snprintf(directory, sizeof directory, "/lib/modules/%s", kernel.release);
    const struct module_source source = {
        .directory = directory, .loaded = "/sys/module", .insert = insert_into_kernel};
    return module_load_from(&source, name, err);
}

static bool read_line(const char *path, char *target, size_t capacity)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, target, capacity - 1);
    if (length <= 0)
        return false;
    target[length] = '\0';
    target[strcspn(target, "\n")] = '\0';
    return true;
}

unsigned module_load_bus(const char *bus)
{
    char path[PATH_BYTES], alias[PATH_BYTES];
    unsigned failed = 0;
    struct dirent *entry;
    snprintf(path, sizeof path, "/sys/bus/%s/devices", bus);
    DIR *devices = opendir(path);
    while (devices && (entry = readdir(devices))) {
        struct nsp_error err = NSP_ERROR_INIT;
        snprintf(path, sizeof path, "/sys/bus/%s/devices/%s/modalias", bus, entry->d_name);
        if (entry->d_name[0] == '.' || !read_line(path, alias, sizeof alias) ||
            module_load(alias, &err) == 0 || err.code == NSP_E_NOT_FOUND)
            continue;
        log_error(LOG_DEBUG, "kernel module not loaded", &err);
        failed++;
    }
    if (devices)
        closedir(devices);
    return failed;
}

unsigned module_load_list(const char *names)
{
    unsigned failed = 0;
    for (const char *at = names; *at;) {
        struct nsp_error err = NSP_ERROR_INIT;
        char name[64];
        size_t length = strcspn(at, ",");
        snprintf(name, sizeof name, "%.*s", (int)length, at);
        if (length > 0 && (length >= sizeof name || module_load(name, &err) < 0)) {
            log_error(LOG_DEBUG, "kernel module not loaded", &err);
            failed++;
        }
        at += length + (at[length] == ',');
    }
    return failed;
}
