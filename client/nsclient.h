/* libnsclient: talking to a nullspace agent.
 *
 * One client is one connection that carries any number of calls and process streams. Nothing here
 * blocks unless it says so, starts a thread, installs a signal handler or calls back: the program
 * polls one descriptor and asks what has happened.
 *
 *     struct nsp_client *client;
 *     struct nsp_process *process;
 *     struct nsp_event event;
 *     struct nsp_start start = {.argv = (const char *[]){"uname", "-a", NULL}};
 *
 *     if (nsp_client_new("unix:/run/nullspace-agent.sock", NULL, &client, &err) < 0 ||
 *         nsp_process_start(client, &start, NULL, &process, &err) < 0)
 *         ...
 *     while (nsp_process_next(process, &event, -1, &err) > 0 && event.kind != NSP_EVENT_FINISHED) {
 *         if (event.kind == NSP_EVENT_DATA)
 *             fwrite(event.data, 1, event.length, stdout);
 *         nsp_process_take(process, &event, event.length);
 *     }
 *
 * With an event loop of one's own, instead of nsp_process_next, in each round:
 *
 *     poll nsp_client_fd() for nsp_client_events(), for at most nsp_client_timeout() ms;
 *     nsp_client_process(); then nsp_process_peek() and nsp_process_take() until nothing is left
 *
 * Connect addresses: "unix:PATH", "tcp:HOST:PORT" (numeric host; "?token-file=FILE" may follow),
 * "hybrid:PATH:PORT" (a VMM's unix socket for vsock port PORT, as Firecracker has it),
 * "vsock:CID:PORT".
 *
 * A lost connection is made again, with growing pauses, until nsp_client_options.reconnect_ms have
 * passed. Process streams then go on at the byte where they stopped: every output byte is handed
 * out exactly once and in order or named by a GAP event, and no input byte is written twice. Plain
 * calls end with CONNECTION unless they were made with NSP_CALL_REPEAT.
 *
 * Functions that can fail return -1 and fill err (which may be NULL); outputs are written only on
 * success. A client and what belongs to it are for one thread at a time. Free calls and processes
 * before their client. SIGPIPE is never raised by the library. Times are milliseconds; "now" is any
 * clock that never goes back, the same in all calls (nsp_client_now is one).
 */
#ifndef NSCLIENT_H
#define NSCLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- client ------------------------------------------------------------------------------- */

struct nsp_client;

struct nsp_client_options {
    const char *name;       /* tells the agent's log who this is; default "libnsclient" */
    const char *token;      /* for tcp: the token itself, or */
    const char *token_file; /* a file that holds it, read anew for each connection. The address's
                               own token-file wins over both */
    int64_t reconnect_ms;   /* how long a lost connection is tried again, and a hybrid address where
                               nobody listens yet; 0: default of 30,000; negative: not at all */
    int64_t attempt_ms;     /* time for one attempt, hello included; 0: default of 5,000 */
};

enum nsp_client_state {
    NSP_CLIENT_CONNECTING, /* or waiting to try again */
    NSP_CLIENT_READY,      /* hello was answered */
    NSP_CLIENT_FAILED,     /* given up for good; every call has ended */
};

/* What the agent said of itself; strings live as long as the client. */
struct nsp_hello {
    const char *protocol, *agent, *version, *boot_id;
    uint64_t generation;
    const char *json; /* the whole result: limits, features, keepalive */
};

/* Parses the address (INVALID_PARAMS) and begins to connect. options may be NULL. */
int nsp_client_new(const char *address, const struct nsp_client_options *options,
                   struct nsp_client **ret_client, struct nsp_error *err);
void nsp_client_free(struct nsp_client *client);

/* The descriptor changes with every connection and is -1 between two: ask again in each round.
 * events are POLLIN and POLLOUT. timeout: milliseconds until nsp_client_process is due even if
 * nothing happens; -1: never. */
int nsp_client_fd(const struct nsp_client *client);
short nsp_client_events(const struct nsp_client *client);
int64_t nsp_client_timeout(const struct nsp_client *client, uint64_t now);

/* Does whatever can be done without waiting: revents as poll gave them, 0 after a timeout or when
 * something was queued. -1 once the client has FAILED, with the reason. */
int nsp_client_process(struct nsp_client *client, short revents, uint64_t now,
                       struct nsp_error *err);

enum nsp_client_state nsp_client_state(const struct nsp_client *client);
/* Milliseconds since there was a connection; 0 while there is one. */
uint64_t nsp_client_outage(const struct nsp_client *client, uint64_t now);
/* Why the connection was lost, or an attempt failed, last. */
const struct nsp_error *nsp_client_last_error(const struct nsp_client *client);
/* NULL before the first READY. */
const struct nsp_hello *nsp_client_hello(const struct nsp_client *client);

/* Milliseconds of CLOCK_BOOTTIME: also what the blocking functions use as now. */
uint64_t nsp_client_now(void);

/* Blocks: one round of poll and nsp_client_process, for at most timeout ms (-1: no bound). */
int nsp_client_step(struct nsp_client *client, int64_t timeout, struct nsp_error *err);
/* Blocks until READY. */
int nsp_client_connect(struct nsp_client *client, struct nsp_error *err);
/* Blocks for at most timeout ms: one PING frame and its PONG. */
int nsp_client_ping(struct nsp_client *client, int64_t timeout, uint64_t *ret_nanoseconds,
                    struct nsp_error *err);

/* ---- calls -------------------------------------------------------------------------------- */

struct nsp_call;

enum {
    NSP_CALL_REPEAT = 1, /* the method does no harm twice: ask again when a connection is lost */
};

/* Queues a call of a method without channels. params: the text of a JSON object, copied; NULL is
 * {}. deadline: milliseconds in which it must have been answered (DEADLINE); 0: none. EXHAUSTED
 * when STREAMS calls are in progress. */
int nsp_call_new(struct nsp_client *client, const char *method, const char *params,
                 uint64_t deadline, unsigned flags, struct nsp_call **ret_call,
                 struct nsp_error *err);
/* Gives a call up that is still in progress. */
void nsp_call_free(struct nsp_call *call);

bool nsp_call_done(const struct nsp_call *call);
/* Once done: the result's JSON text, which lives until nsp_call_free, or the error. */
int nsp_call_result(const struct nsp_call *call, const char **ret_json, struct nsp_error *err);

/* Blocks until it is done. */
int nsp_call_wait(struct nsp_call *call, const char **ret_json, struct nsp_error *err);
/* Blocks: new, wait, free. *ret_json is the caller's, for free(3). */
int nsp_call_run(struct nsp_client *client, const char *method, const char *params, unsigned flags,
                 char **ret_json, struct nsp_error *err);

/* ---- processes ---------------------------------------------------------------------------- */

struct nsp_process;

enum { NSP_ID_SIZE = 65 };

/* How a process ended. */
struct nsp_exit {
    bool exited;    /* false: it has not, and the rest means nothing */
    int code;       /* -1 when a signal ended it */
    int signal;     /* 0 when none did */
    char name[16];  /* of the signal: "SIGKILL" */
    bool core;      /* a core was dumped */
    bool timed_out; /* by the timeout it was started with */
    uint64_t wall_ms, user_ms, system_ms, max_rss_kib;
    int64_t exited_at_ms; /* Unix time */
};

/* PROTOCOL.md section 10 has the meaning of each field. Everything is copied. Zero and NULL are the
 * agent's defaults. */
struct nsp_start {
    const char *const *argv; /* NULL-terminated; or */
    const char *command;     /* for the shell */
    const char *cwd;
    const char *const *environment; /* NULL-terminated "NAME=value" */
    bool clear_environment;
    const char *id;
    const char *key; /* default: a random one, so that a start whose answer was lost is safe */
    bool stdin_pipe;
    bool merge;
    const char *policy;
    uint64_t ring_bytes, timeout_ms, drain_ms;
    bool has_grace; /* grace_ms counts, 0 too */
    uint64_t grace_ms;
};

struct nsp_attach {
    uint64_t stdout_from, stderr_from;
    bool tail;        /* from the present end instead */
    bool droppable;   /* the agent may drop what this reader has not consumed */
    uint64_t hold_ms; /* how long its place is kept without a connection; 0: the default */
    bool use_stdin;   /* nsp_process_write writes to the process. A start sets it by stdin_pipe */
    bool interleaved;
    bool no_follow;
    bool until_closed; /* end when the last writer has closed the outputs, not at the exit */
};

enum nsp_event_kind {
    NSP_EVENT_STARTED,      /* id and pid are known */
    NSP_EVENT_DATA,         /* channel, offset, data, length */
    NSP_EVENT_GAP,          /* channel: bytes from offset up to gap_to are lost */
    NSP_EVENT_END,          /* channel: nothing follows; truncated: though somebody could write */
    NSP_EVENT_STDIN_CLOSED, /* the process has closed its input; what is written is dropped */
    NSP_EVENT_EXITED,       /* nsp_process_exit has it; output may still come */
    NSP_EVENT_DRAINED,      /* all that was written up to the exit has been read */
    NSP_EVENT_FINISHED,     /* the stream is over, and everything was handed out; error.code tells
                               if by failure */
};

struct nsp_event {
    enum nsp_event_kind kind;
    int channel; /* 2 standard output, 3 standard error */
    uint64_t offset;
    uint64_t gap_to;
    const void *data; /* until the next call of any function of this client but peek */
    size_t length;
    bool truncated;
    struct nsp_error error;
};

/* For nsp_process_peek. FINISHED belongs to the control events. */
enum {
    NSP_PEEK_CONTROL = 1 << 0,
    NSP_PEEK_STDOUT = 1 << 2,
    NSP_PEEK_STDERR = 1 << 3,
    NSP_PEEK_ALL = NSP_PEEK_CONTROL | NSP_PEEK_STDOUT | NSP_PEEK_STDERR,
};

/* Starts a process and attaches to it; attach may be NULL. Errors of the agent come in FINISHED. */
int nsp_process_start(struct nsp_client *client, const struct nsp_start *start,
                      const struct nsp_attach *attach, struct nsp_process **ret_process,
                      struct nsp_error *err);
int nsp_process_attach(struct nsp_client *client, const char *id, const struct nsp_attach *attach,
                       struct nsp_process **ret_process, struct nsp_error *err);
/* Detaches; the process goes on. */
void nsp_process_free(struct nsp_process *process);

/* Blocks: starts a process without attaching. ret_id has room for NSP_ID_SIZE bytes. */
int nsp_process_launch(struct nsp_client *client, const struct nsp_start *start, char *ret_id,
                       int64_t *ret_pid, struct nsp_error *err);

/* The next event of the wanted kinds, left where it is. Bytes of standard output and standard error
 * wait apart from each other; with interleaved in one order, where the first in the queue must be
 * among the wanted. */
bool nsp_process_peek(const struct nsp_process *process, unsigned wanted,
                      struct nsp_event *ret_event);
/* Takes the event that peek gave last, of DATA the first length bytes. What is taken counts as
 * consumed: the agent need not keep it. */
void nsp_process_take(struct nsp_process *process, const struct nsp_event *event, size_t length);
/* Blocks for at most timeout ms until there is an event: 1; 0: none came in time. */
int nsp_process_next(struct nsp_process *process, struct nsp_event *ret_event, int64_t timeout,
                     struct nsp_error *err);

/* Empty and 0 before STARTED. */
const char *nsp_process_id(const struct nsp_process *process);
int64_t nsp_process_pid(const struct nsp_process *process);
const struct nsp_exit *nsp_process_exit(const struct nsp_process *process);
bool nsp_process_finished(const struct nsp_process *process);

/* Bytes that nsp_process_write would take now; 0 also when input is closed. */
size_t nsp_process_room(const struct nsp_process *process);
/* Queues input; returns how much was taken. It is kept until the process has it. */
size_t nsp_process_write(struct nsp_process *process, const void *bytes, size_t length);
/* End of input, after everything that was queued. */
void nsp_process_close_stdin(struct nsp_process *process);
/* Input that the process has not taken yet. */
size_t nsp_process_unread(const struct nsp_process *process);

/* Exit status as a shell would give it: the code, 128 + signal, 124 after a timeout. */
int nsp_exit_status(const struct nsp_exit *exit);
/* For a process that did not start: 127 not found, 126 not executable, otherwise 125. */
int nsp_exit_status_of_error(const struct nsp_error *err);

#ifdef __cplusplus
}
#endif

#endif
