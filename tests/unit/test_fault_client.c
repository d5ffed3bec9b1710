/* The client library while its allocations and system calls fail: every function ends in time, with
 * what it should give or a typed error; output is right as far as it came; nothing is leaked. The
 * agent is a child process that knows just enough. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/nsclient.h"
#include "protocol/frame.h"
#include "protocol/limits.h"
#include "tests/support/fault.h"
#include "tests/support/unit.h"

enum { CALLS_MAX = 3000, STEP_MS = 8000, RUN_MS = 4000, HALF = 30000, OUTPUT = 2 * HALF };

/* ---- the agent ---------------------------------------------------------------------------- */

static char output[OUTPUT];
static char payload[NSP_LIMIT_FRAME_PAYLOAD + 1];

static void send_frame(int fd, uint8_t type, uint32_t stream, uint8_t channel, uint64_t offset,
                       const char *bytes, size_t length)
{
    static uint8_t message[NSP_FRAME_HEADER_SIZE + OUTPUT];
    const struct nsp_frame frame = {.length = (uint32_t)length,
                                    .stream = stream,
                                    .type = type,
                                    .channel = channel,
                                    .offset = offset};
    nsp_frame_encode(&frame, message);
    if (length > 0)
        memcpy(message + NSP_FRAME_HEADER_SIZE, bytes, length);
    (void)!send(fd, message, NSP_FRAME_HEADER_SIZE + length, MSG_NOSIGNAL);
}

static void send_json(int fd, uint8_t type, uint32_t stream, const char *text)
{
    send_frame(fd, type, stream, 0, 0, text, strlen(text));
}

/* A process that writes its output and exits with 5, whenever it is asked about. */
static void serve_process(int fd, uint32_t stream)
{
    char started[256];
    const char *from_text = strstr(payload, "\"stdout_from\":");
    size_t from = from_text ? strtoul(from_text + strlen("\"stdout_from\":"), NULL, 10) : 0;
    snprintf(started, sizeof started,
             "{\"method\":\"process.started\",\"params\":{\"process\":\"p\",\"pid\":7,"
             "\"running\":true,\"argv0\":\"p\",\"stdin_offset\":0,\"stdout_from\":%zu,"
             "\"stderr_from\":0,\"merged\":false}}",
             from);
    send_json(fd, NSP_FRAME_NOTIFY, stream, started);
    for (size_t at = from; at < OUTPUT; at = at < HALF ? HALF : OUTPUT)
        send_frame(fd, NSP_FRAME_DATA, stream, 2, at, output + at,
                   (at < HALF ? HALF : OUTPUT) - at);
    send_frame(fd, NSP_FRAME_END, stream, 2, OUTPUT, NULL, 0);
    send_frame(fd, NSP_FRAME_END, stream, 3, 0, NULL, 0);
    send_json(fd, NSP_FRAME_NOTIFY, stream,
              "{\"method\":\"process.exited\",\"params\":{\"process\":\"p\",\"code\":5}}");
    send_json(fd, NSP_FRAME_NOTIFY, stream,
              "{\"method\":\"process.drained\",\"params\":{\"process\":\"p\",\"stdout\":60000,"
              "\"stderr\":0}}");
    send_json(fd, NSP_FRAME_RESPONSE, stream,
              "{\"result\":{\"id\":\"p\",\"exit\":{\"code\":5},\"stdout\":60000,\"stderr\":0,"
              "\"stdout_closed\":true,\"stderr_closed\":true}}");
}

static bool receive(int fd, void *bytes, size_t length)
{
    return length == 0 || recv(fd, bytes, length, MSG_WAITALL) == (ssize_t)length;
}

static void serve(int fd)
{
    uint8_t header[NSP_FRAME_HEADER_SIZE];
    struct nsp_frame frame;
    if (!receive(fd, header, NSP_PREFACE_SIZE))
        return;
    (void)!send(fd, header, NSP_PREFACE_SIZE, MSG_NOSIGNAL);
    while (receive(fd, header, sizeof header) && nsp_frame_decode(header, &frame, NULL) == 0 &&
           receive(fd, payload, frame.length)) {
        payload[frame.length] = '\0';
        if (frame.type != NSP_FRAME_REQUEST)
            continue;
        if (strstr(payload, "\"process."))
            serve_process(fd, frame.stream);
        else
            send_json(fd, NSP_FRAME_RESPONSE, frame.stream, "{\"result\":{\"generation\":1}}");
    }
}

static struct sockaddr_un address = {.sun_family = AF_UNIX};
static char client_address[sizeof address.sun_path + 8];
static pid_t agent;

static void setup(void)
{
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < OUTPUT; i++)
        output[i] = (char)('a' + i % 23);
    snprintf(address.sun_path, sizeof address.sun_path, "/tmp/nsp-fault-%d", (int)getpid());
    snprintf(client_address, sizeof client_address, "unix:%s", address.sun_path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(listener, 0);
    ck_assert_int_eq(bind(listener, (const struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(listener, 16), 0);
    agent = fork();
    ck_assert_int_ge(agent, 0);
    for (int fd; agent == 0; close(fd)) {
        fd = accept(listener, NULL, NULL);
        serve(fd);
    }
    close(listener);
}

static void teardown(void)
{
    kill(agent, SIGKILL);
    waitpid(agent, NULL, 0);
    unlink(address.sun_path);
}

/* ---- the client --------------------------------------------------------------------------- */

static unsigned count_descriptors(void)
{
    unsigned count = 0;
    DIR *directory = opendir("/proc/self/fd");
    ck_assert_ptr_nonnull(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

/* What one run came to; checks are made when nothing fails any more. */
struct run {
    const char *late; /* what did not end in time; NULL: nothing */
    bool is_wrong;    /* output */
    size_t came;
    struct nsp_error err;
};

static const struct nsp_client_options options = {.reconnect_ms = 3000, .attempt_ms = 2000};

static void take(struct run *run, const struct nsp_event *event)
{
    run->is_wrong |= event->offset != run->came || event->length > OUTPUT - run->came ||
                     memcmp(event->data, output + run->came, event->length) != 0;
    run->came += event->length;
}

static int follow(struct nsp_process *process, struct run *run)
{
    for (;;) {
        struct nsp_event event;
        int got = nsp_process_next(process, &event, STEP_MS, &run->err);
        if (got == 0)
            run->late = "nsp_process_next";
        if (got <= 0)
            return -1;
        if (event.kind == NSP_EVENT_DATA)
            take(run, &event);
        if (event.kind == NSP_EVENT_FINISHED)
            run->err = event.error;
        nsp_process_take(process, &event, event.length);
        if (event.kind == NSP_EVENT_FINISHED)
            return run->err.code == NSP_E_NONE ? 0 : -1;
    }
}

static int use(struct nsp_client *client, struct run *run)
{
    static const char *const argv[] = {"p", "argument", NULL};
    static const char *const environment[] = {"A=1", "B=2", NULL};
    const struct nsp_start start = {
        .argv = argv, .environment = environment, .id = "p", .stdin_pipe = true};
    struct nsp_process *process = NULL;
    char *json = NULL;
    if (nsp_call_run(client, "info", "{\"a\":1}", NSP_CALL_REPEAT, &json, &run->err) < 0)
        return -1;
    free(json);
    if (nsp_process_start(client, &start, NULL, &process, &run->err) < 0)
        return -1;
    nsp_process_write(process, "input", 5);
    nsp_process_close_stdin(process);
    int result = follow(process, run);
    nsp_process_free(process);
    return result;
}

static int run_once(struct run *run)
{
    struct nsp_client *client = NULL;
    *run = (struct run){.err = NSP_ERROR_INIT};
    if (nsp_client_new(client_address, &options, &client, &run->err) < 0)
        return -1;
    int result = use(client, run);
    nsp_client_free(client);
    return result;
}

static const struct {
    uint32_t kind;
    int error;
    bool invisible;
} faults[] = {
    {FAULT_ALLOC, ENOMEM, false}, {FAULT_READ, EINTR, true},       {FAULT_READ, EAGAIN, true},
    {FAULT_READ, 0, true},        {FAULT_READ, ECONNRESET, false}, {FAULT_WRITE, EINTR, true},
    {FAULT_WRITE, EAGAIN, true},  {FAULT_WRITE, 0, true},          {FAULT_WRITE, EPIPE, false},
    {FAULT_FD, EMFILE, false},    {FAULT_WAIT, EINTR, true},       {FAULT_OTHER, EPERM, false},
};
enum { FAULTS = sizeof faults / sizeof *faults };

START_TEST(each_call_fails)
{
    struct run run;
    ck_assert_int_eq(run_once(&run), 0);
    unsigned descriptors = count_descriptors();
    uint64_t first = 1;
    for (bool failed = true; failed; first++) {
        uint64_t began = nsp_client_now();
        fault_arm(faults[_i].kind, faults[_i].error, first);
        int result = run_once(&run);
        failed = fault_disarm() > 0;
        ck_assert_uint_lt(nsp_client_now() - began, RUN_MS);
        ck_assert_msg(!run.late, "%s, call %lu", run.late, (unsigned long)first);
        ck_assert_msg(!run.is_wrong, "wrong output, call %lu", (unsigned long)first);
        ck_assert(result < 0 || run.came == OUTPUT);
        ck_assert_msg(result == 0 || run.err.code != NSP_E_NONE, "call %lu", (unsigned long)first);
        ck_assert_msg(result == 0 || (failed && !faults[_i].invisible), "call %lu: %s: %s",
                      (unsigned long)first, nsp_error_name(run.err.code), run.err.msg);
        ck_assert_uint_eq(count_descriptors(), descriptors);
        ck_assert_uint_lt(first, CALLS_MAX);
    }
    ck_assert(first > 2 || faults[_i].kind == FAULT_OTHER);
    ck_assert_int_eq(run_once(&run), 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *all = suite_create("fault client");
    TCase *tcase = tcase_create("every call");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, each_call_fails, 0, FAULTS);
    suite_add_tcase(all, tcase);
    return all;
}

UNIT_MAIN(suite)
