#include "client/nsctl_completion.h"

#include <stdio.h>
#include <string.h>

#include "client/nsctl_report.h"

/* A word of a script in single quotes; the tables hold no single quotes but in documentation. */
static void print_quoted(const char *text)
{
    for (; *text; text++) {
        if (*text == '\'')
            printf("'\\''");
        else
            putchar(*text);
    }
}

static void print_names(const struct nsctl_option *options)
{
    for (const struct nsctl_option *option = options; option && option->name; option++) {
        if (option->letter)
            printf(" -%c", option->letter);
        printf(" --%s", option->name);
    }
}

static bool takes_id(const struct nsctl_command *command)
{
    return command->words && strncmp(command->words + (command->words[0] == '['), "ID", 2) == 0;
}

/* ---- bash --------------------------------------------------------------------------------- */

static void bash_choices(const struct nsctl_option *options)
{
    for (const struct nsctl_option *option = options; option && option->name; option++) {
        if (!option->choices)
            continue;
        printf("        --%s) words='", option->name);
        for (const char *const *choice = option->choices; *choice; choice++)
            printf("%s%s", choice == option->choices ? "" : " ", *choice);
        printf("' ;;\n");
    }
}

static void bash_script(void)
{
    printf("_nsctl() {\n"
           "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
           "    local command= words= word\n"
           "    for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
           "        case $word in\n"
           "        ");
    for (const struct nsctl_command *command = nsctl_commands; command->name; command++)
        printf("%s%s", command == nsctl_commands ? "" : "|", command->name);
    printf(") command=$word; break ;;\n        esac\n    done\n    case $previous in\n");
    for (const struct nsctl_command *command = nsctl_commands; command->name; command++)
        bash_choices(command->options);
    printf(
        "    esac\n    if [ -z \"$words\" ]; then\n        case $command in\n        '') words='");
    for (const struct nsctl_command *command = nsctl_commands; command->name; command++)
        printf("%s ", command->name);
    print_names(nsctl_global_options);
    printf("' ;;\n");
    for (const struct nsctl_command *command = nsctl_commands; command->name; command++) {
        printf("        %s) words='", command->name);
        print_names(command->options);
        print_names(nsctl_global_options);
        if (strcmp(command->name, "completion") == 0)
            printf(" bash zsh fish");
        printf("'");
        if (takes_id(command))
            printf("\n            words+=\" $(nsctl ps -a 2>/dev/null | awk 'NR>1 {print $1}')\"");
        printf(" ;;\n");
    }
    printf("        esac\n    fi\n"
           "    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
           "}\n"
           "complete -o bashdefault -o default -F _nsctl nsctl\n");
}

/* ---- zsh ---------------------------------------------------------------------------------- */

static void zsh_options(const struct nsctl_option *options)
{
    for (const struct nsctl_option *option = options; option && option->name; option++) {
        printf(" \\\n            '--%s%s[", option->name, option->kind == NSCTL_FLAG ? "" : "=");
        print_quoted(option->doc);
        printf("]");
        if (option->kind != NSCTL_FLAG)
            printf(":%s:", option->argument);
        if (option->choices) {
            printf("(");
            for (const char *const *choice = option->choices; *choice; choice++)
                printf("%s%s", choice == option->choices ? "" : " ", *choice);
            printf(")");
        }
        printf("'");
    }
}

static void zsh_words(const struct nsctl_command *command)
{
    if (strcmp(command->name, "completion") == 0)
        printf(" \\\n            '1:shell:(bash zsh fish)'");
    else if (takes_id(command))
        printf(" \\\n            '*:id:($(nsctl ps -a 2>/dev/null | awk \"NR>1 {print \\$1}\"))'");
    else if (command->max_words > 0)
        printf(" \\\n            '*::argument:_normal'");
}

static void zsh_script(void)
{
    printf("#compdef nsctl\n"
           "_nsctl() {\n"
           "    local -a commands=(\n");
    for (const struct nsctl_command *command = nsctl_commands; command->name; command++) {
        printf("        '%s:", command->name);
        print_quoted(command->summary);
        printf("'\n");
    }
    printf("    )\n"
           "    local state\n"
           "    _arguments -C");
    zsh_options(nsctl_global_options);
    printf(" \\\n            '1:command:->command' \\\n            '*::argument:->argument'\n"
           "    case $state in\n"
           "    command) _describe command commands ;;\n"
           "    argument)\n        case $words[1] in\n");
    for (const struct nsctl_command *command = nsctl_commands; command->name; command++) {
        printf("        %s)\n            _arguments", command->name);
        zsh_options(command->options);
        zsh_words(command);
        printf(" ;;\n");
    }
    printf(
        "        esac ;;\n    esac\n}\n"
        "if [ \"$funcstack[1]\" = _nsctl ]; then _nsctl \"$@\"; else compdef _nsctl nsctl; fi\n");
}

/* ---- fish --------------------------------------------------------------------------------- */

static void fish_options(const struct nsctl_option *options, const char *condition)
{
    for (const struct nsctl_option *option = options; option && option->name; option++) {
        printf("complete -c nsctl -n '%s'", condition);
        if (option->letter)
            printf(" -s %c", option->letter);
        printf(" -l %s%s -d '", option->name, option->kind == NSCTL_FLAG ? "" : " -x");
        for (const char *at = option->doc; *at; at++)
            printf(*at == '\'' ? "\\'" : "%c", *at);
        printf("'");
        if (option->choices) {
            printf(" -a '");
            for (const char *const *choice = option->choices; *choice; choice++)
                printf("%s%s", choice == option->choices ? "" : " ", *choice);
            printf("'");
        }
        printf("\n");
    }
}

static void fish_script(void)
{
    fish_options(nsctl_global_options, "true");
    for (const struct nsctl_command *command = nsctl_commands; command->name; command++) {
        char condition[64];
        snprintf(condition, sizeof condition, "__fish_seen_subcommand_from %s", command->name);
        printf("complete -c nsctl -n __fish_use_subcommand -x -a %s -d '%s'\n", command->name,
               command->summary);
        fish_options(command->options, condition);
        if (takes_id(command))
            printf("complete -c nsctl -n '%s' -x -a '(nsctl ps -a 2>/dev/null | awk \"NR>1 {print "
                   "\\$1}\")'\n",
                   condition);
        if (strcmp(command->name, "completion") == 0)
            printf("complete -c nsctl -n '%s' -x -a 'bash zsh fish'\n", condition);
    }
}

int nsctl_completion(struct nsctl *ctl)
{
    static const struct {
        const char *shell;
        void (*print)(void);
    } scripts[] = {{"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}};
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        if (strcmp(ctl->settings.words[0], scripts[i].shell) != 0)
            continue;
        scripts[i].print();
        return fflush(stdout) == 0 ? NSCTL_OK : NSCTL_ERROR;
    }
    nsctl_report_note("unknown shell: %s (bash, zsh and fish are known)", ctl->settings.words[0]);
    return NSCTL_ERROR;
}
