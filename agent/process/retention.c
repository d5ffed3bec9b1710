#include "agent/process/retention.h"

#include <stdlib.h>

#include "agent/base/clock.h"
#include "agent/process/process.h"
#include "protocol/cleanup.h"

enum { LOOK_AGAIN_S = 60 };

static struct process *oldest_unobserved(const struct retention *retention)
{
    struct process *process = retention->oldest;
    while (process && process->observers)
        process = process->newer;
    return process;
}

static uint64_t due_at(const struct process *process)
{
    return process->record->exit.exited_ns + NSP_LIMIT_EXITED_AGE * CLOCK_NS_PER_S;
}

/* In the order of the exits, so one timer for the oldest serves all. */
static void arm(struct retention *retention)
{
    struct nsp_error err = NSP_ERROR_INIT;
    if (!retention->oldest) {
        timer_cancel(retention->timer);
        return;
    }
    uint64_t now = clock_now_ns();
    uint64_t due = due_at(retention->oldest);
    /* One that is past its time but still looked at is looked for again in a while. */
    uint64_t delay = due > now ? due - now : LOOK_AGAIN_S * CLOCK_NS_PER_S;
    if (timer_set(retention->timer, delay, &err) < 0)
        retention->fatal(retention->arg, "cannot set a timer", &err);
}

static void on_age(void *arg)
{
    struct retention *retention = arg;
    uint64_t now = clock_now_ns();
    struct process *victim;
    while ((victim = oldest_unobserved(retention)) && due_at(victim) <= now)
        retention->forget(retention->arg, victim);
    arm(retention);
}

int retention_init(struct retention *retention, struct loop *loop,
                   void (*forget)(void *arg, struct process *process),
                   void (*fatal)(void *arg, const char *what, const struct nsp_error *err),
                   void *arg, struct nsp_error *err)
{
    *retention = (struct retention){.forget = forget, .fatal = fatal, .arg = arg};
    return timer_new(loop, on_age, retention, &retention->timer, err);
}

void retention_done(struct retention *retention)
{
    timer_free(retention->timer);
    *retention = (struct retention){0};
}

static void append(struct retention *retention, struct process *process)
{
    process->newer = NULL;
    process->older = retention->newest;
    if (retention->newest)
        retention->newest->newer = process;
    else
        retention->oldest = process;
    retention->newest = process;
}

void retention_add(struct retention *retention, struct process *process)
{
    append(retention, process);
    retention->count++;
    if (retention->oldest == process)
        arm(retention);
}

void retention_remove(struct retention *retention, struct process *process)
{
    if (process->older)
        process->older->newer = process->newer;
    else
        retention->oldest = process->newer;
    if (process->newer)
        process->newer->older = process->older;
    else
        retention->newest = process->older;
    process->older = process->newer = NULL;
    retention->count--;
}

static int by_exit(const void *left, const void *right)
{
    uint64_t a = (*(struct process *const *)left)->record->exit.exited_ns;
    uint64_t b = (*(struct process *const *)right)->record->exit.exited_ns;
    return a < b ? -1 : a > b;
}

int retention_sort(struct retention *retention, struct nsp_error *err)
{
    if (retention->count < 2)
        return 0;
    AUTO_FREE struct process **sorted = calloc(retention->count, sizeof *sorted);
    if (!sorted)
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "memory",
                           "no memory to sort the exited processes");
    unsigned count = 0;
    for (struct process *process = retention->oldest; process; process = process->newer)
        sorted[count++] = process;
    qsort(sorted, count, sizeof *sorted, by_exit);
    retention->oldest = retention->newest = NULL;
    for (unsigned i = 0; i < count; i++)
        append(retention, sorted[i]);
    arm(retention);
    return 0;
}

bool retention_forget_oldest(struct retention *retention)
{
    struct process *victim = oldest_unobserved(retention);
    if (victim)
        retention->forget(retention->arg, victim);
    return victim != NULL;
}

void retention_limit(struct retention *retention)
{
    while (retention->count > NSP_LIMIT_EXITED && retention_forget_oldest(retention))
        ;
}
