/* Steps are only added; count is stored after the new step is complete, so that a reader in another
 * process never sees half a name. */
#include "agent/handover/bootreport.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "agent/os/memfd.h"
#include "protocol/cleanup.h"

struct bootreport {
    _Atomic uint32_t count, lost;
    struct bootreport_step steps[BOOTREPORT_STEPS];
};

static const char *const state_names[] = {
    [BOOTREPORT_RUNNING] = "running",         [BOOTREPORT_DONE] = "done",
    [BOOTREPORT_SKIPPED] = "skipped",         [BOOTREPORT_FAILED] = "failed",
    [BOOTREPORT_INTERRUPTED] = "interrupted",
};
_Static_assert(sizeof state_names / sizeof state_names[0] == BOOTREPORT_STATE_COUNT, "every state");

static uint64_t since_boot_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static int map(int fd, struct bootreport **ret_report, struct nsp_error *err)
{
    void *memory = mmap(NULL, sizeof(struct bootreport), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return nsp_fail_errno(err, NSP_E_EXHAUSTED, errno, "mmap", "boot report");
    *ret_report = memory;
    return 0;
}

int bootreport_create(struct bootreport **ret_report, int *ret_fd, struct nsp_error *err)
{
    AUTO_FD int fd = -1;
    if (memfd_new("boot", sizeof(struct bootreport), &fd, err) < 0 || map(fd, ret_report, err) < 0)
        return -1;
    *ret_fd = STEAL_FD(fd);
    return 0;
}

int bootreport_open(int fd, struct bootreport **ret_report, struct nsp_error *err)
{
    if (memfd_check(fd, sizeof(struct bootreport), err) < 0)
        return -1;
    return map(fd, ret_report, err);
}

void bootreport_close(struct bootreport *report)
{
    if (report)
        munmap(report, sizeof *report);
}

unsigned bootreport_count(const struct bootreport *report)
{
    uint32_t count = report ? atomic_load_explicit(&report->count, memory_order_acquire) : 0;
    return count < BOOTREPORT_STEPS ? count : BOOTREPORT_STEPS;
}

unsigned bootreport_lost(const struct bootreport *report)
{
    return report ? report->lost : 0;
}

const struct bootreport_step *bootreport_at(const struct bootreport *report, unsigned number)
{
    return number < bootreport_count(report) ? &report->steps[number] : NULL;
}

const struct bootreport_step *bootreport_find(const struct bootreport *report, const char *name)
{
    for (unsigned i = 0; i < bootreport_count(report); i++)
        if (strncmp(report->steps[i].name, name, BOOTREPORT_NAME - 1) == 0)
            return &report->steps[i];
    return NULL;
}

struct bootreport_step *bootreport_begin(struct bootreport *report, const char *name, int by_agent)
{
    unsigned count = bootreport_count(report);
    if (report && count == BOOTREPORT_STEPS)
        report->lost++;
    if (!report || count == BOOTREPORT_STEPS)
        return NULL;
    struct bootreport_step *step = &report->steps[count];
    *step = (struct bootreport_step){
        .state = BOOTREPORT_RUNNING,
        .by_agent = by_agent != 0,
        .started_ns = since_boot_ns(),
    };
    snprintf(step->name, sizeof step->name, "%s", name);
    atomic_store_explicit(&report->count, count + 1, memory_order_release);
    return step;
}

void bootreport_end(struct bootreport_step *step, enum bootreport_state state, const char *detail,
                    const struct nsp_error *err)
{
    if (!step)
        return;
    const char *reason = err && state == BOOTREPORT_FAILED ? err->msg : "";
    if (!detail)
        detail = "";
    snprintf(step->detail, sizeof step->detail, "%s%s%s", detail,
             detail[0] && reason[0] ? ": " : "", reason);
    step->code = err && state == BOOTREPORT_FAILED ? (int32_t)err->code : 0;
    step->sys_errno = err && state == BOOTREPORT_FAILED ? err->sys_errno : 0;
    step->ended_ns = since_boot_ns();
    step->state = state;
}

void bootreport_interrupt(struct bootreport *report)
{
    for (unsigned i = 0; i < bootreport_count(report); i++)
        if (report->steps[i].by_agent && report->steps[i].state == BOOTREPORT_RUNNING)
            bootreport_end(&report->steps[i], BOOTREPORT_INTERRUPTED, "the agent died in it", NULL);
}

struct bootreport_step *bootreport_resume(struct bootreport *report, const char *name)
{
    for (unsigned i = 0; i < bootreport_count(report); i++) {
        struct bootreport_step *step = &report->steps[i];
        if (step->state == BOOTREPORT_INTERRUPTED &&
            strncmp(step->name, name, BOOTREPORT_NAME - 1) == 0) {
            step->detail[0] = '\0';
            step->ended_ns = 0;
            step->state = BOOTREPORT_RUNNING;
            return step;
        }
    }
    return NULL;
}

const char *bootreport_state_name(enum bootreport_state state)
{
    return (unsigned)state < BOOTREPORT_STATE_COUNT ? state_names[state] : "?";
}
