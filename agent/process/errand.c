#include "agent/process/errand.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "agent/process/launch.h"
#include "agent/process/reader.h"

enum { WORDS_MAX = 8 };

struct errand {
    struct processes *set;
    struct process *process; /* NULL: its end has been told, or it is forgotten */
    struct process_observer observer;
    struct loop_deferred forget;
    void (*done)(void *arg, const struct nsp_error *failure, int status, const char *line);
    void *arg;
};

static void read_line(struct process *process, char target[ERRAND_LINE])
{
    const struct reader_options options = {.follow = false};
    const uint64_t allowance[TABLE_OUTPUTS] = {ERRAND_LINE - 1};
    struct reader reader;
    struct reader_piece piece = {.kind = READER_NOTHING};
    size_t length = 0;
    if (reader_attach(&reader, process, &options, NULL, NULL, NULL) == 0) {
        reader_pull(&reader, allowance, ERRAND_LINE - 1, &piece);
        for (int i = 0; piece.kind == READER_DATA && i < piece.iov_count; i++) {
            memcpy(target + length, piece.iov[i].iov_base, piece.iov[i].iov_len);
            length += piece.iov[i].iov_len;
        }
        reader_detach(&reader, false);
    }
    target[length] = '\0';
    target[strcspn(target, "\n")] = '\0';
}

static void let_go(struct errand *errand)
{
    if (errand->process)
        process_unobserve(errand->process, &errand->observer);
    errand->process = NULL;
}

/* The last thing that is done with an errand in a callback: done may free it. */
static void tell(struct errand *errand, const struct process *process)
{
    const struct exitlog_record *exit = &process->record->exit;
    struct nsp_error failure = process->failure;
    char line[ERRAND_LINE] = "";
    if (errand->process)
        read_line(errand->process, line);
    if (!process->is_failed && exit->code != CLD_EXITED)
        nsp_fail(&failure, NSP_E_SYSTEM, "the process was ended by signal %d", exit->status);
    errand->done(errand->arg, failure.code != NSP_E_NONE ? &failure : NULL, exit->status, line);
}

/* Not from inside its notifications: see process.h. */
static void on_forget(void *arg)
{
    struct errand *errand = arg;
    struct process *process = errand->process;
    let_go(errand);
    if (process && process_is_exited(process))
        (void)process_forget(process, NULL);
}

static void on_event(void *arg, struct process *process, enum process_event event)
{
    struct errand *errand = arg;
    if (event == PROCESS_FAILED) {
        let_go(errand);
        tell(errand, process);
    } else if (event == PROCESS_DRAINED) {
        loop_defer(processes_loop(errand->set), &errand->forget);
        tell(errand, process);
    } else if (event == PROCESS_FORGOTTEN) {
        let_go(errand);
    }
}

int errand_start(const struct errand_config *config, struct errand **ret_errand,
                 struct nsp_error *err)
{
    char *argv[WORDS_MAX + 2] = {(char *)(config->program ? config->program : "/proc/self/exe")};
    size_t argc = 1;
    bool is_repeated;
    while (argc <= WORDS_MAX && config->words[argc - 1]) {
        argv[argc] = (char *)config->words[argc - 1];
        argc++;
    }
    struct errand *errand = calloc(1, sizeof *errand);
    if (!errand)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for %s", config->id);
    *errand = (struct errand){
        .set = config->set,
        .observer = {.event = on_event, .arg = errand},
        .forget = {.callback = on_forget, .arg = errand},
        .done = config->done,
        .arg = config->arg,
    };
    const struct launch_options options = {
        .id = config->id,
        .argv = argv,
        .argc = argc,
        .environment = config->environment,
        .merge = true,
        .ring_bytes = NSP_LIMIT_RING_MIN,
        .timeout_ms = config->timeout_ms,
        .drain_ms = 0,
    };
    if (launch_start(config->set, &options, &errand->process, &is_repeated, err) < 0) {
        free(errand);
        return -1;
    }
    process_observe(errand->process, &errand->observer);
    *ret_errand = errand;
    return 0;
}

void errand_free(struct errand *errand)
{
    if (!errand)
        return;
    let_go(errand);
    loop_undefer(processes_loop(errand->set), &errand->forget);
    free(errand);
}
