/* A call attached to a process: its outputs, its events, and perhaps its standard input, on one
 * stream, in the order that PROTOCOL.md section 10 gives. */
#ifndef AGENT_SERVICES_PROCESS_ATTACH_H
#define AGENT_SERVICES_PROCESS_ATTACH_H

#include "agent/rpc/params.h"
#include "agent/services/process.h"

/* The fields that process.start and process.attach share. */
struct process_attach_params {
    int64_t stdout_from, stderr_from;
    bool tail, lossless, stdin_writer, interleaved, follow;
    const char *reader;
    int64_t hold_ms;
    int until;
};

/* For the tables: the rows for a struct that has a process_attach_params as its member `member`. */
extern const char *const process_attach_until[];
#define PROCESS_ATTACH_FIELDS(owner, member)                                                       \
    {.name = "stdout_from",                                                                        \
     .type = PARAM_INT,                                                                            \
     .offset = offsetof(owner, member.stdout_from),                                                \
     .max = INT64_MAX,                                                                             \
     .doc = "Offset of the first byte of standard output wanted."},                                \
        {.name = "stderr_from",                                                                    \
         .type = PARAM_INT,                                                                        \
         .offset = offsetof(owner, member.stderr_from),                                            \
         .max = INT64_MAX,                                                                         \
         .doc = "Offset of the first byte of standard error wanted."},                             \
        {.name = "tail",                                                                           \
         .type = PARAM_BOOL,                                                                       \
         .offset = offsetof(owner, member.tail),                                                   \
         .doc = "Start at the present end."},                                                      \
        {.name = "lossless",                                                                       \
         .type = PARAM_BOOL,                                                                       \
         .offset = offsetof(owner, member.lossless),                                               \
         .fallback = 1,                                                                            \
         .doc = "The ring does not drop what this reader has not consumed."},                      \
        {.name = "reader",                                                                         \
         .type = PARAM_STRING,                                                                     \
         .offset = offsetof(owner, member.reader),                                                 \
         .min = 16,                                                                                \
         .max = 16,                                                                                \
         .doc = "The reader's name, 16 hexadecimal digits: takes its own place over."},            \
        {.name = "hold_ms",                                                                        \
         .type = PARAM_INT,                                                                        \
         .offset = offsetof(owner, member.hold_ms),                                                \
         .max = NSP_LIMIT_HOLD_MAX,                                                                \
         .fallback = NSP_LIMIT_HOLD_TIME,                                                          \
         .doc = "How long a named reader's place is kept after a lost connection."},               \
        {.name = "interleaved",                                                                    \
         .type = PARAM_BOOL,                                                                       \
         .offset = offsetof(owner, member.interleaved),                                            \
         .doc = "Deliver both outputs in the order in which they arrived."},                       \
        {.name = "follow",                                                                         \
         .type = PARAM_BOOL,                                                                       \
         .offset = offsetof(owner, member.follow),                                                 \
         .fallback = 1,                                                                            \
         .doc = "False: deliver what is there, then end."},                                        \
    {                                                                                              \
        .name = "until", .type = PARAM_ENUM, .offset = offsetof(owner, member.until),              \
        .choices = process_attach_until,                                                           \
        .doc = "When the stream ends: after the exit and what was in the pipes then, or when the " \
               "last writer has closed them."                                                      \
    }

/* process.attach alone: process.start has its own field of this name. */
#define PROCESS_ATTACH_INPUT_FIELD(owner, member)                                                  \
    {                                                                                              \
        .name = "stdin", .type = PARAM_BOOL, .offset = offsetof(owner, member.stdin_writer),       \
        .doc = "Channel 1 of the stream writes to standard input."                                 \
    }

/* Attaches the call to a process that may still be STARTING. Answers the call itself on error. */
void process_attach_begin(const struct process_service *service, struct call *call,
                          struct process *process, const struct process_attach_params *params);

#endif
