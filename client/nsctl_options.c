#include "client/nsctl_options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    int argc, next;
    char **argv;
    const struct nsctl_option *own, *global; /* own may be NULL */
    struct nsctl_settings *settings;
};

static int misuse(struct nsp_error *err, const char *what, const char *object)
{
    return nsp_fail_on(err, NSP_E_INVALID_PARAMS, object, "%s: %.80s", what, object);
}

/* ---- values ------------------------------------------------------------------------------- */

static bool parse_u64(const char *text, uint64_t *ret_value, const char **ret_end)
{
    char *end = NULL;
    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *ret_value = strtoull(text, &end, 10);
    *ret_end = end;
    return errno == 0;
}

static bool parse_seconds(const char *text, uint64_t *ret_ms)
{
    uint64_t whole = 0, fraction = 0, unit = 100;
    const char *at = text;
    if (!parse_u64(text, &whole, &at) || whole > UINT32_MAX)
        return false;
    if (*at == '.')
        for (at++; *at >= '0' && *at <= '9'; at++, unit /= 10)
            fraction += (uint64_t)(*at - '0') * unit;
    *ret_ms = whole * 1000 + fraction;
    return *at == '\0';
}

static bool parse_bytes(const char *text, uint64_t *ret_bytes)
{
    static const char units[] = "KMG";
    uint64_t value = 0;
    const char *at = text;
    if (!parse_u64(text, &value, &at))
        return false;
    const char *unit = *at ? strchr(units, *at) : NULL;
    unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
    if (value > UINT64_MAX >> shift)
        return false;
    *ret_bytes = value << shift;
    return at[unit ? 1 : 0] == '\0';
}

static int add_item(struct nsctl_list *list, const char *item, struct nsp_error *err)
{
    const char **items = reallocarray(list->items, list->count + 2, sizeof *items);
    if (!items)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for options");
    items[list->count++] = item;
    items[list->count] = NULL;
    list->items = items;
    return 0;
}

static bool is_choice(const struct nsctl_option *option, const char *value)
{
    for (const char *const *choice = option->choices; *choice; choice++)
        if (strcmp(*choice, value) == 0)
            return true;
    return false;
}

static bool set_number(const struct nsctl_option *option, const char *value,
                       struct nsctl_number *number)
{
    const char *end = "";
    bool good = option->kind == NSCTL_SECONDS ? parse_seconds(value, &number->value)
                : option->kind == NSCTL_BYTES ? parse_bytes(value, &number->value)
                                              : parse_u64(value, &number->value, &end) && !*end;
    number->set = good;
    return good;
}

static int set_option(const struct nsctl_option *option, const char *value,
                      struct nsctl_settings *settings, struct nsp_error *err)
{
    void *slot = (char *)settings + option->offset;
    switch (option->kind) {
    case NSCTL_FLAG:
        *(bool *)slot = true;
        return 0;
    case NSCTL_LIST:
        return add_item(slot, value, err);
    case NSCTL_CHOICE:
        if (!is_choice(option, value))
            return misuse(err, "unknown value", value);
        *(const char **)slot = value;
        return 0;
    case NSCTL_TEXT:
        *(const char **)slot = value;
        return 0;
    default:
        return set_number(option, value, slot) ? 0 : misuse(err, "not a valid number", value);
    }
}

/* ---- words of the command line ------------------------------------------------------------ */

static const struct nsctl_option *find(const struct reader *reader, char letter, const char *name,
                                       size_t length)
{
    const struct nsctl_option *tables[] = {reader->own, reader->global};
    for (size_t i = 0; i < 2; i++)
        for (const struct nsctl_option *option = tables[i]; option && option->name; option++)
            if (name ? strlen(option->name) == length && !memcmp(option->name, name, length)
                     : option->letter == letter)
                return option;
    return NULL;
}

static int next_value(struct reader *reader, const char *option, const char **ret_value,
                      struct nsp_error *err)
{
    if (reader->next >= reader->argc)
        return misuse(err, "an argument is missing for", option);
    *ret_value = reader->argv[reader->next++];
    return 0;
}

/* "--name", "--name=value", "--name value" */
static int read_long(struct reader *reader, const char *word, struct nsp_error *err)
{
    size_t length = strcspn(word + 2, "=");
    const struct nsctl_option *option = find(reader, 0, word + 2, length);
    const char *value = word[2 + length] ? word + 2 + length + 1 : NULL;
    if (!option)
        return misuse(err, "unknown option", word);
    if (option->kind == NSCTL_FLAG && value)
        return misuse(err, "the option takes no argument", word);
    if (option->kind != NSCTL_FLAG && !value && next_value(reader, word, &value, err) < 0)
        return -1;
    return set_option(option, value, reader->settings, err);
}

/* "-ab", "-cVALUE", "-c VALUE" */
static int read_short(struct reader *reader, const char *word, struct nsp_error *err)
{
    for (const char *at = word + 1; *at; at++) {
        const struct nsctl_option *option = find(reader, *at, NULL, 0);
        const char *value = at[1] ? at + 1 : NULL;
        if (!option)
            return misuse(err, "unknown option", word);
        if (option->kind == NSCTL_FLAG) {
            if (set_option(option, NULL, reader->settings, err) < 0)
                return -1;
            continue;
        }
        if (!value && next_value(reader, word, &value, err) < 0)
            return -1;
        return set_option(option, value, reader->settings, err);
    }
    return 0;
}

/* 1: an option was read; 0: the next word is none. */
static int read_option(struct reader *reader, struct nsp_error *err)
{
    const char *word = reader->argv[reader->next];
    if (word[0] != '-' || word[1] == '\0')
        return 0;
    reader->next++;
    int result = word[1] == '-' ? read_long(reader, word, err) : read_short(reader, word, err);
    return result < 0 ? -1 : 1;
}

int nsctl_options_global(int argc, char **argv, struct nsctl_settings *settings, int *ret_next,
                         struct nsp_error *err)
{
    struct reader reader = {.argc = argc,
                            .next = 1,
                            .argv = argv,
                            .global = nsctl_global_options,
                            .settings = settings};
    int result = 1;
    while (result > 0 && reader.next < argc)
        result = read_option(&reader, err);
    *ret_next = reader.next;
    return result < 0 ? -1 : 0;
}

int nsctl_options_command(const struct nsctl_command *command, int argc, char **argv,
                          struct nsctl_settings *settings, struct nsp_error *err)
{
    struct reader reader = {.argc = argc,
                            .argv = argv,
                            .own = command->options,
                            .global = nsctl_global_options,
                            .settings = settings};
    int words = 0;
    while (reader.next < argc) {
        char *word = argv[reader.next];
        bool rest = strcmp(word, "--") == 0;
        int result = rest ? 0 : read_option(&reader, err);
        if (result < 0)
            return -1;
        if (result > 0)
            continue;
        reader.next += rest;
        /* Words move to the front, over options that were read already. */
        do {
            if (reader.next < argc)
                argv[words++] = argv[reader.next++];
        } while ((rest || command->stops_at_word) && reader.next < argc);
    }
    argv[words] = NULL;
    settings->words = argv;
    settings->word_count = words;
    if (settings->help)
        return 0;
    if (words < command->min_words)
        return misuse(err, "missing argument", command->words);
    if (words > command->max_words)
        return misuse(err, "unexpected argument", argv[command->max_words]);
    return 0;
}

void nsctl_options_done(struct nsctl_settings *settings)
{
    free(settings->environment.items);
    settings->environment = (struct nsctl_list){0};
}

/* ---- help --------------------------------------------------------------------------------- */

static void print_options(const struct nsctl_option *options)
{
    for (const struct nsctl_option *option = options; option && option->name; option++) {
        char head[64], letter[8] = "    ";
        if (option->letter)
            snprintf(letter, sizeof letter, "-%c, ", option->letter);
        snprintf(head, sizeof head, "%s--%s%s%s", letter, option->name, option->argument ? " " : "",
                 option->argument ? option->argument : "");
        printf("  %-34s %s\n", head, option->doc);
    }
}

void nsctl_options_help(void)
{
    printf("Usage: nsctl [OPTION]... COMMAND [ARGUMENT]...\n"
           "Talks to a nullspace agent.\n\nCommands:\n");
    for (const struct nsctl_command *command = nsctl_commands; command->name; command++)
        printf("  %-12s %s\n", command->name, command->summary);
    printf("\nOptions:\n");
    print_options(nsctl_global_options);
    printf("\nAddresses: unix:PATH, tcp:HOST:PORT[?token-file=FILE], hybrid:PATH:PORT, "
           "vsock:CID:PORT.\n"
           "Environment: NSCTL_CONNECT is the default address, NSCTL_TOKEN_FILE names a file with\n"
           "the token for tcp.\n"
           "Exit status: 125 after an error of nsctl or the agent; otherwise each command's own.\n"
           "`nsctl COMMAND --help` tells more about a command.\n");
}

void nsctl_options_command_help(const struct nsctl_command *command)
{
    printf("Usage: nsctl %s%s%s%s\n%s\n", command->name, command->options ? " [OPTION]..." : "",
           command->words ? " " : "", command->words ? command->words : "", command->summary);
    if (command->details)
        printf("\n%s", command->details);
    if (command->options) {
        printf("\nOptions:\n");
        print_options(command->options);
    }
}
