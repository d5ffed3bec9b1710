/* Whoever follows is a follower from its call until the peer ends it. Its lines are read when the
 * connection has room for them, never before: a peer that reads slowly costs no memory, and misses
 * what is overwritten meanwhile, which it is told.
 *
 * Nobody polls. Our own lines and the supervisor's wake defer a look at all followers; the kernel's
 * log is watched only while its follower has read everything. */
#include "agent/services/logs.h"

#include <stdlib.h>

#include "agent/services/logs_source.h"
#include "protocol/cleanup.h"
#include "protocol/limits.h"

enum {
    LINES_MAX = 4096,
    LINES_DEFAULT = 100,
    NOTE_LINES = 256,
    /* Of logs_source_weight: below JSON_MESSAGE, and a notification that others can overtake. */
    ANSWER_WEIGHT = 1000000,
    NOTE_WEIGHT = 65536,
};
_Static_assert(ANSWER_WEIGHT + 1024 < NSP_LIMIT_JSON_MESSAGE, "an answer fits a message");

struct logs_service {
    struct loop *loop;
    struct follower *followers;
    unsigned follower_count;
    struct loop_deferred look;
};

struct follower {
    struct logs_service *service;
    struct follower *next, **link; /* what points to it */
    struct call *call;
    struct logs_source source;
    struct io *kernel; /* NULL: not followed */
    bool has_told;     /* the first notification, which may be without lines */
    struct loop_deferred finish;
    struct nsp_error failure;
};

/* Writes `lines`, at most so many and so heavy; returns how many. */
static unsigned write_lines(struct reply *reply, struct logs_source *source, unsigned lines,
                            size_t weight_max)
{
    struct logs_source_line line;
    unsigned count = 0;
    size_t weight = 0;
    reply_open_array(reply, "lines");
    while (count < lines && weight + LOGS_SOURCE_WEIGHT_MAX <= weight_max &&
           logs_source_next(source, &line)) {
        logs_source_write_line(reply, &line);
        weight += logs_source_weight(&line);
        count++;
    }
    reply_close(reply);
    return count;
}

/* How many lines come before the last ones, of which there are at most so many and so heavy. */
static int count_before(const struct logs_source_wish *wish, unsigned lines, uint64_t *ret_count,
                        struct nsp_error *err)
{
    struct logs_source source;
    struct logs_source_line line;
    uint64_t before = 0, total = 0;
    size_t weight = 0;
    AUTO_FREE size_t *weights = calloc(lines + 1, sizeof *weights);
    if (!weights)
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "memory", "no memory for the lines");
    if (logs_source_open(&source, wish, err) < 0)
        return -1;
    while (logs_source_next(&source, &line)) {
        weights[total % (lines + 1)] = logs_source_weight(&line);
        weight += weights[total++ % (lines + 1)];
        while (total - before > lines || weight + LOGS_SOURCE_WEIGHT_MAX > ANSWER_WEIGHT)
            weight -= weights[before++ % (lines + 1)];
    }
    logs_source_close(&source);
    *ret_count = before;
    return 0;
}

/* The source at the last lines, unless the wish says where to begin. */
static int open_source(struct logs_source *source, const struct logs_source_wish *wish,
                       unsigned lines, struct nsp_error *err)
{
    struct logs_source_line line;
    bool placed = false;
    uint64_t before = 0;
    for (int kind = 0; kind < LOGS_SOURCE_COUNT; kind++)
        placed = placed || (wish->kinds & 1u << kind && wish->from[kind] > 0);
    if ((!placed && count_before(wish, lines, &before, err) < 0) ||
        logs_source_open(source, wish, err) < 0)
        return -1;
    while (before > 0 && logs_source_next(source, &line))
        before--;
    return 0;
}

/* Followers */

static void release(struct follower *follower)
{
    struct logs_service *service = follower->service;
    *follower->link = follower->next;
    if (follower->next)
        follower->next->link = follower->link;
    service->follower_count--;
    loop_undefer(service->loop, &follower->finish);
    io_free(follower->kernel);
    logs_source_close(&follower->source);
    free(follower);
}

static void on_finish(void *arg)
{
    struct follower *follower = arg;
    struct call *call = follower->call;
    struct nsp_error failure = follower->failure;
    release(follower);
    if (failure.code != NSP_E_NONE)
        call_fail(call, &failure);
    else
        call_reply(call, reply_new());
}

static void watch_kernel(struct follower *follower, bool watched)
{
    if (follower->kernel &&
        io_want(follower->kernel, watched ? IO_READ : 0, &follower->failure) < 0)
        loop_defer(follower->service->loop, &follower->finish);
}

static void on_kernel(void *arg, unsigned ready)
{
    struct follower *follower = arg;
    (void)ready;
    watch_kernel(follower, false);
    stream_ready(call_stream(follower->call));
}

/* There are no bytes to hand out: that the connection has room is what we are after. */
static void on_pull(void *arg, const uint64_t *allowance, size_t max,
                    struct stream_piece *ret_piece)
{
    struct follower *follower = arg;
    (void)allowance;
    (void)max;
    ret_piece->kind = STREAM_NOTHING;
    if (call_is_broken(follower->call))
        return;
    struct reply *reply = reply_new();
    unsigned count = write_lines(reply, &follower->source, NOTE_LINES, NOTE_WEIGHT);
    logs_source_write_place(reply, &follower->source);
    if (count > 0 || !follower->has_told)
        call_notify(follower->call, "log.lines", reply);
    else
        reply_free(reply);
    follower->has_told = true;
    if (call_is_broken(follower->call))
        loop_defer(follower->service->loop, &follower->finish);
    else if (count > 0)
        stream_ready(call_stream(follower->call));
    else
        watch_kernel(follower, true);
}

static void on_gone(void *arg, enum stream_gone why)
{
    (void)why;
    release(arg);
}

static const struct stream_handler handler = {.pull = on_pull, .gone = on_gone};

static int follower_new(struct logs_service *service, struct call *call,
                        const struct logs_source_wish *wish, unsigned lines, struct nsp_error *err)
{
    if (service->follower_count == NSP_LIMIT_LOG_FOLLOWERS)
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "log_followers", "%d calls follow a log already",
                           NSP_LIMIT_LOG_FOLLOWERS);
    struct follower *follower = calloc(1, sizeof *follower);
    if (!follower)
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "memory", "no memory to follow a log");
    if (open_source(&follower->source, wish, lines, err) < 0) {
        free(follower);
        return -1;
    }
    follower->service = service;
    follower->call = call;
    follower->finish = (struct loop_deferred){.callback = on_finish, .arg = follower};
    follower->next = service->followers;
    follower->link = &service->followers;
    if (follower->next)
        follower->next->link = &follower->next;
    service->followers = follower;
    service->follower_count++;

    const struct kmsg *kmsg = follower->source.kmsg;
    int result = 0;
    if (kmsg && kmsg_fd(kmsg) < 0)
        result = nsp_fail_on(err, NSP_E_UNSUPPORTED, "follow",
                             "without /dev/kmsg the kernel's log cannot be followed");
    else if (kmsg)
        result =
            io_new(service->loop, kmsg_fd(kmsg), 0, on_kernel, follower, &follower->kernel, err);
    if (result < 0) {
        release(follower);
        return -1;
    }
    call_set_handler(call, &handler, follower);
    stream_ready(call_stream(call));
    return 0;
}

static void on_look(void *arg)
{
    struct logs_service *service = arg;
    for (struct follower *follower = service->followers; follower; follower = follower->next)
        stream_ready(call_stream(follower->call));
}

void logs_on_wake(struct logs_service *service)
{
    if (service->followers)
        loop_defer(service->loop, &service->look);
}

static void on_line(void *arg)
{
    logs_on_wake(arg);
}

/* log.tail */

struct tail_params {
    int source, level;
    int64_t lines, agent_from, supervisor_from, kernel_from;
    bool follow;
};

static const char *const source_choices[] = {"all", "agent", "supervisor", "kernel", NULL};
static const unsigned source_kinds[] = {
    1u << LOGS_SOURCE_AGENT | 1u << LOGS_SOURCE_SUPERVISOR,
    1u << LOGS_SOURCE_AGENT,
    1u << LOGS_SOURCE_SUPERVISOR,
    1u << LOGS_SOURCE_KERNEL,
};
static const char *const level_choices[] = {"debug", "info", "warn", "error", NULL};

#define FROM(log, whose)                                                                           \
    {                                                                                              \
        .name = #log "_from", .type = PARAM_INT,                                                   \
        .offset = offsetof(struct tail_params, log##_from), .max = INT64_MAX,                      \
        .doc = "Sequence of the first line wanted of the " whose " log."                           \
    }

static const struct param_field tail_fields[] = {
    {.name = "source",
     .type = PARAM_ENUM,
     .offset = offsetof(struct tail_params, source),
     .choices = source_choices,
     .doc = "Whose log; all is those of agent and supervisor, in the order of time."},
    {.name = "lines",
     .type = PARAM_INT,
     .offset = offsetof(struct tail_params, lines),
     .max = LINES_MAX,
     .fallback = LINES_DEFAULT,
     .doc = "How many lines at most: the last ones, or with a place to begin at the next ones."},
    {.name = "level",
     .type = PARAM_ENUM,
     .offset = offsetof(struct tail_params, level),
     .choices = level_choices,
     .doc = "The least level."},
    FROM(agent, "agent's"),
    FROM(supervisor, "supervisor's"),
    FROM(kernel, "kernel's"),
    {.name = "follow",
     .type = PARAM_BOOL,
     .offset = offsetof(struct tail_params, follow),
     .doc = "Notify log.lines as lines come, until the call is cancelled."},
};

static int answer(struct call *call, const struct logs_source_wish *wish, unsigned lines,
                  struct nsp_error *err)
{
    struct logs_source source;
    if (open_source(&source, wish, lines, err) < 0)
        return -1;
    struct reply *reply = reply_new();
    write_lines(reply, &source, lines, ANSWER_WEIGHT);
    logs_source_write_place(reply, &source);
    logs_source_close(&source);
    call_reply(call, reply);
    return 0;
}

static void on_tail(void *arg, struct call *call, const void *params)
{
    const struct tail_params *tail = params;
    const struct logs_source_wish wish = {
        .kinds = source_kinds[tail->source],
        .from = {[LOGS_SOURCE_SUPERVISOR] = (uint64_t)tail->supervisor_from,
                 [LOGS_SOURCE_AGENT] = (uint64_t)tail->agent_from,
                 [LOGS_SOURCE_KERNEL] = (uint64_t)tail->kernel_from},
        .level = (enum log_level)tail->level,
    };
    unsigned lines = (unsigned)tail->lines;
    struct nsp_error err = NSP_ERROR_INIT;
    int result = tail->follow ? follower_new(arg, call, &wish, lines, &err)
                              : answer(call, &wish, lines, &err);
    if (result < 0)
        call_fail(call, &err);
}

static const struct method methods[] = {
    {.name = "log.tail",
     .fields = tail_fields,
     .field_count = sizeof tail_fields / sizeof *tail_fields,
     .params_size = sizeof(struct tail_params),
     .flags = METHOD_STREAMS,
     .handler = on_tail,
     .doc = "Lines of the agent's, the supervisor's or the kernel's log.",
     .returns = "lines, oldest first: seq, time_ms, level, source, text; next, the places to go on "
                "from; lost, how many lines were overwritten before. With follow nothing, and "
                "these in notifications.",
     .errors = METHOD_ERROR(NOT_FOUND) | METHOD_ERROR(PERMISSION) | METHOD_ERROR(UNSUPPORTED) |
               METHOD_ERROR(EXHAUSTED) | METHOD_ERROR(SYSTEM)},
};

const struct method *logs_methods(size_t *ret_count)
{
    *ret_count = sizeof methods / sizeof *methods;
    return methods;
}

int logs_new(struct loop *loop, struct logs_service **ret_service, struct nsp_error *err)
{
    struct logs_service *service = calloc(1, sizeof *service);
    if (!service)
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "memory", "no memory for the log service");
    service->loop = loop;
    service->look = (struct loop_deferred){.callback = on_look, .arg = service};
    log_on_line(on_line, service);
    *ret_service = service;
    return 0;
}

void logs_free(struct logs_service *service)
{
    if (!service)
        return;
    log_on_line(NULL, NULL);
    loop_undefer(service->loop, &service->look);
    free(service);
}
