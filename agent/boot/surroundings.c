#include "agent/boot/surroundings.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/os/environment.h"
#include "protocol/cleanup.h"

extern char **environ;

static bool is_directory(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

const char *surroundings_directory(const char *workspace)
{
    const char *home = getenv("HOME");
    if (is_directory(workspace))
        return workspace;
    return home && home[0] == '/' && is_directory(home) ? home : "/";
}

char **surroundings_environment(char *const *added)
{
    static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    static char home[] = "HOME=/";
    size_t count = 0;
    while (environ[count])
        count++;
    AUTO_FREE char **own = calloc(count + 3, sizeof *own);
    if (!own)
        return NULL;
    memcpy(own, environ, count * sizeof *own);
    if (!getenv("PATH"))
        own[count++] = path;
    if (!getenv("HOME"))
        own[count++] = home;
    return environment_merge(own, added);
}
