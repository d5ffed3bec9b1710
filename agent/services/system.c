#include "agent/services/system.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/base/clock.h"
#include "agent/os/hostinfo.h"
#include "agent/rpc/describe.h"
#include "agent/session/session.h"
#include "protocol/limits.h"

#define AGENT_NAME "nullspace-agent"

enum { TOKEN_MAX = 1024, CLIENT_MAX = 256 };

struct system_service {
    struct system_facts facts;
    unsigned missing; /* kernel features */
};

/* Every limit, under the name in lower case that hello tells. */
#define FOLDED_NAME_SIZE 32
static const struct {
    const char *name;
    int64_t value;
} limits[] = {
#define X(name_, value_, unit_, meaning_) {#name_, value_},
#include "protocol/limits.def"
#undef X
};

static void reply_list(struct reply *reply, const char *name, const char *const *items)
{
    reply_open_array(reply, name);
    while (items && *items)
        reply_text(reply, NULL, *items++);
    reply_close(reply);
}

static void reply_protocol(struct reply *reply)
{
    char text[16];
    snprintf(text, sizeof text, "%d.%d", NSP_VERSION_MAJOR, NSP_VERSION_MINOR);
    reply_text(reply, "protocol", text);
}

/* hello */

struct hello_params {
    const char *token;
    const char *client;
    int64_t time_ns;
};

static const struct param_field hello_fields[] = {
    {.name = "token",
     .type = PARAM_STRING,
     .offset = offsetof(struct hello_params, token),
     .max = TOKEN_MAX,
     .doc = "The token, where the transport needs one."},
    {.name = "client",
     .type = PARAM_STRING,
     .offset = offsetof(struct hello_params, client),
     .max = CLIENT_MAX,
     .doc = "Who calls, for the log."},
    {.name = "time_ns",
     .type = PARAM_INT,
     .offset = offsetof(struct hello_params, time_ns),
     .min = 0,
     .max = INT64_MAX,
     .doc = "The host's time, nanoseconds since 1970: a guest sets its clock when it is off by "
            "more than 100 ms."},
};

static void reply_limits(struct reply *reply)
{
    reply_open_object(reply, "limits");
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        char name[FOLDED_NAME_SIZE];
        size_t length = strnlen(limits[i].name, sizeof name - 1);
        for (size_t at = 0; at < length; at++) {
            char c = limits[i].name[at];
            name[at] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
        }
        name[length] = '\0';
        reply_int(reply, name, limits[i].value);
    }
    reply_close(reply);
}

static void on_hello(void *arg, struct call *call, const void *params)
{
    const struct system_facts *facts = &((struct system_service *)arg)->facts;
    const struct hello_params *hello = params;
    struct nsp_error err = NSP_ERROR_INIT;
    if (stream_greet(call_stream(call), hello->token, hello->client, &err) < 0) {
        call_fail(call, &err);
        return;
    }
    if (hello->time_ns > 0 && facts->host_time)
        facts->host_time(hello->time_ns);
    struct reply *reply = reply_new();
    reply_protocol(reply);
    reply_text(reply, "agent", AGENT_NAME);
    reply_text(reply, "version", facts->version);
    reply_text(reply, "boot_id", facts->boot_id);
    reply_u64(reply, "generation", facts->generation);
    reply_limits(reply);
    reply_list(reply, "features", facts->features);
    reply_open_object(reply, "keepalive");
    reply_int(reply, "idle_ms", NSP_LIMIT_KEEPALIVE_IDLE);
    reply_int(reply, "dead_ms", NSP_LIMIT_KEEPALIVE_DEAD);
    reply_close(reply);
    call_reply(call, reply);
}

/* ping, info, stats */

static void on_ping(void *arg, struct call *call, const void *params)
{
    (void)arg;
    (void)params;
    call_reply(call, reply_new());
}

static void on_info(void *arg, struct call *call, const void *params)
{
    const struct system_service *service = arg;
    const struct system_facts *facts = &service->facts;
    (void)params;
    struct utsname kernel;
    if (uname(&kernel) < 0)
        memset(&kernel, 0, sizeof kernel);
    struct reply *reply = reply_new();
    reply_text(reply, "agent", AGENT_NAME);
    reply_text(reply, "version", facts->version);
    reply_protocol(reply);
    reply_text(reply, "mode", facts->mode);
    reply_int(reply, "pid", getpid());
    reply_int(reply, "supervisor_pid", facts->supervisor);
    reply_text(reply, "boot_id", facts->boot_id);
    reply_u64(reply, "generation", facts->generation);
    reply_u64(reply, "uptime_ms", (clock_now_ns() - facts->started_ns) / CLOCK_NS_PER_MS);
    reply_list(reply, "transports", facts->transports);
    reply_text(reply, "directory", facts->directory);
    reply_open_object(reply, "kernel");
    reply_text(reply, "release", kernel.release);
    reply_text(reply, "machine", kernel.machine);
    reply_close(reply);
    reply_open_array(reply, "missing");
    for (int i = 0; i < HOSTINFO_FEATURE_COUNT; i++)
        if (service->missing & 1u << i)
            reply_text(reply, NULL, hostinfo_feature_name((enum hostinfo_feature)i));
    reply_close(reply);
    call_reply(call, reply);
}

static void reply_sessions(struct reply *reply, const struct session_server *sessions)
{
    struct session_stats stats;
    session_server_stats(sessions, &stats);
    reply_u64(reply, "connections", stats.connections);
    reply_u64(reply, "connections_total", stats.connections_total);
    reply_u64(reply, "refused_total", stats.refused_total);
    reply_u64(reply, "streams", stats.streams);
    reply_u64(reply, "bytes_in", stats.bytes_in);
    reply_u64(reply, "bytes_out", stats.bytes_out);
}

static void on_stats(void *arg, struct call *call, const void *params)
{
    const struct system_facts *facts = &((struct system_service *)arg)->facts;
    (void)params;
    struct reply *reply = reply_new();
    reply_u64(reply, "resident_kib", hostinfo_resident_kib());
    reply_u64(reply, "fds", hostinfo_descriptors());
    reply_u64(reply, "restarts", facts->generation > 0 ? facts->generation - 1 : 0);
    if (facts->sessions)
        reply_sessions(reply, facts->sessions);
    for (size_t i = 0; i < facts->stats_count; i++)
        facts->stats[i].write(facts->stats[i].arg, reply);
    call_reply(call, reply);
}

/* rpc.discover */

static void on_discover(void *arg, struct call *call, const void *params)
{
    const struct system_facts *facts = &((struct system_service *)arg)->facts;
    (void)params;
    struct reply *reply = reply_new();
    describe_document(facts->dispatch, facts->version, reply);
    call_reply(call, reply);
}

/* cancel */

struct cancel_params {
    const char *id;
};

static const struct param_field cancel_fields[] = {
    {.name = "id",
     .type = PARAM_LABEL,
     .offset = offsetof(struct cancel_params, id),
     .flags = PARAM_REQUIRED,
     .doc = "The id of the request to end."},
};

static void on_cancel(void *arg, struct call *call, const void *params)
{
    const struct cancel_params *cancel = params;
    struct nsp_error err = NSP_ERROR_INIT;
    (void)arg;
    if (stream_cancel_labelled(call_stream(call), cancel->id, strlen(cancel->id), &err) < 0)
        call_fail(call, &err);
    else
        call_reply(call, reply_new());
}

#define FIELDS(name)                                                                               \
    .fields = name##_fields, .field_count = sizeof name##_fields / sizeof *name##_fields,          \
    .params_size = sizeof(struct name##_params)

static const struct method methods[] = {
    {.name = "hello",
     FIELDS(hello),
     .flags = METHOD_BEFORE_HELLO,
     .handler = on_hello,
     .doc = "Opens the connection for calls; the first call of a binary connection.",
     .returns = "protocol, agent, version, boot_id, generation, limits, features, keepalive.",
     .errors = METHOD_ERROR(UNAUTHENTICATED)},
    {.name = "ping", .handler = on_ping, .doc = "Answers at once.", .returns = "Nothing."},
    {.name = "info",
     .handler = on_info,
     .doc = "What runs here.",
     .returns = "agent, version, protocol, mode, pid, supervisor_pid, boot_id, generation, "
                "uptime_ms, transports, directory, kernel, missing (kernel features)."},
    {.name = "stats",
     .handler = on_stats,
     .doc = "Counters of the agent.",
     .returns = "resident_kib, fds, restarts, connections, streams, bytes, and those of the "
                "services."},
    {.name = "rpc.discover",
     .handler = on_discover,
     .doc = "This description of all methods.",
     .returns = "An OpenRPC document."},
    {.name = "cancel",
     FIELDS(cancel),
     .flags = METHOD_TEXT_ONLY,
     .handler = on_cancel,
     .doc = "Ends another call of this connection; its answer is then CANCELLED.",
     .returns = "Nothing.",
     .errors = METHOD_ERROR(NOT_FOUND)},
};
#undef FIELDS

const struct method *system_methods(size_t *ret_count)
{
    *ret_count = sizeof methods / sizeof *methods;
    return methods;
}

int system_new(const struct system_facts *facts, struct system_service **ret_service,
               struct nsp_error *err)
{
    struct system_service *service = malloc(sizeof *service);
    if (!service)
        return nsp_fail(err, NSP_E_EXHAUSTED, "no memory for the system service");
    *service = (struct system_service){.facts = *facts, .missing = hostinfo_missing()};
    *ret_service = service;
    return 0;
}

void system_free(struct system_service *service)
{
    free(service);
}
