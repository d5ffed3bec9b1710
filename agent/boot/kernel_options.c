#include "agent/boot/kernel_options.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/boot/options.h"

static const char prefix[] = "ns.";

struct collection {
    char **target;
    int count, capacity;
    char *detail;
    size_t detail_used, detail_capacity;
    struct nsp_error *err;
    int result;
};

/* The first error is the one that is returned; the detail names all. */
static void complain(struct collection *all, const char *what, const struct nsp_error *why)
{
    int length = snprintf(all->detail + all->detail_used, all->detail_capacity - all->detail_used,
                          "%s%s: %s", all->detail_used ? "; " : "", what, why->msg);
    if (length > 0)
        all->detail_used += (size_t)length;
    if (all->detail_used >= all->detail_capacity)
        all->detail_used = all->detail_capacity - 1;
    if (all->result == 0 && all->err)
        *all->err = *why;
    all->result = -1;
}

static void add(struct collection *all, char *argument)
{
    struct nsp_error err = NSP_ERROR_INIT;
    if (all->count + 1 < all->capacity) {
        all->target[all->count++] = argument;
        all->target[all->count] = NULL;
        return;
    }
    nsp_fail_on(&err, NSP_E_EXHAUSTED, argument, "too many options");
    complain(all, argument, &err);
}

/* "--name=value" of a word; NULL without memory. */
static char *make_option(const struct cmdline_word *word)
{
    const char *name = word->key + sizeof prefix - 1;
    size_t size = strlen(name) + (word->value ? strlen(word->value) : 0) + 4;
    char *option = malloc(size);
    if (!option)
        return NULL;
    snprintf(option, size, "--%s%s%s", name, word->value ? "=" : "",
             word->value ? word->value : "");
    for (char *at = option + 2; *at && *at != '='; at++)
        if (*at == '_')
            *at = '-';
    return option;
}

/* Words of the kernel's that it did not know are ours in argv; they are not options. */
static void take_arguments(struct collection *all, int argc, char **argv)
{
    struct options options;
    struct nsp_error err = NSP_ERROR_INIT;
    int result = options_parse(argc, argv, true, &options, &err);
    if (result == 0 && (options.help || options.version))
        result = nsp_fail(&err, NSP_E_INVALID_PARAMS, "a guest answers no --help or --version");
    if (result < 0) {
        complain(all, "arguments", &err);
        return;
    }
    for (int i = 1; i < argc; i++)
        add(all, argv[i]);
}

/* Such as an address that is not there yet. Without room for it: add says so. */
static bool fits_the_others(const struct collection *all, char *option, struct nsp_error *err)
{
    struct options options;
    if (all->count + 1 >= all->capacity)
        return true;
    all->target[all->count] = option;
    all->target[all->count + 1] = NULL;
    int result = options_parse(all->count + 1, all->target, true, &options, err);
    all->target[all->count] = NULL;
    return result == 0;
}

static void take_word(struct collection *all, const struct cmdline_word *word)
{
    struct options options;
    struct nsp_error err = NSP_ERROR_INIT;
    char *option = make_option(word);
    if (!option) {
        nsp_fail(&err, NSP_E_EXHAUSTED, "no memory");
        complain(all, word->key, &err);
        return;
    }
    char *alone[] = {all->target[0], option, NULL};
    if (options_parse(2, alone, true, &options, &err) == 0 && !options.help && !options.version &&
        fits_the_others(all, option, &err)) {
        add(all, option);
        return;
    }
    if (err.code == NSP_E_NONE)
        nsp_fail_on(&err, NSP_E_INVALID_PARAMS, word->key, "not an option of a guest");
    complain(all, word->key, &err);
    free(option);
}

int kernel_options_collect(int argc, char **argv, const struct cmdline *cmdline,
                           bool (*is_known)(const char *key), char **target, int capacity,
                           int *ret_argc, char *detail, size_t detail_capacity,
                           struct nsp_error *err)
{
    static char program[] = "nullspace-agent";
    struct collection all = {
        .target = target,
        .capacity = capacity,
        .detail = detail,
        .detail_capacity = detail_capacity,
        .err = err,
    };
    detail[0] = '\0';
    add(&all, argc > 0 ? argv[0] : program);
    take_arguments(&all, argc, argv);
    for (unsigned i = 0; i < cmdline->count; i++)
        if (strncmp(cmdline->words[i].key, prefix, sizeof prefix - 1) == 0 &&
            !is_known(cmdline->words[i].key))
            take_word(&all, &cmdline->words[i]);
    *ret_argc = all.count;
    return all.result;
}
