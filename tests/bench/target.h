/* Something that starts processes, answers pings and moves their bytes: the agent, a peer, or the
 * bare kernel as the limit of what can be had. One measuring loop serves them all.
 *
 * An address is KIND:REST:
 *
 *   bare         vfork, execve, waitpid; a socket pair to an echoing child; a pump of 64 KiB pieces
 *   agent:PATH   nullspace-agent on a unix socket, or in a guest (hybrid:PATH:PORT)
 *   echo:PATH    the program vsock_echo in a guest (hybrid:PATH:PORT): starts nothing
 *   qga:PATH     qemu-ga on a unix socket (guest-exec, asked for its status until it has ended)
 *   ssh:PATH     the control socket of an OpenSSH master connection (its own multiplexing protocol,
 *                so that no ssh program is started for each command)
 *
 * Anything that fails ends the program.
 */
#ifndef TESTS_BENCH_TARGET_H
#define TESTS_BENCH_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/bench/measure.h"
#include "tests/bench/options.h"

enum { TARGET_SLOTS = 64 };

struct target {
    const struct target_kind *kind;
    struct measure_pids pids; /* whose CPU time counts */
    uint64_t own_cpu;         /* ns, of helpers that have ended */
    uint64_t events;          /* messages that came; 0 where that says nothing */
    bool forget;
};

struct target_kind {
    const char *name;
    struct target *(*open)(const char *rest);
    void (*close)(struct target *target);
    /* Starts program, without arguments; slot (below TARGET_SLOTS) is free. NULL: starts nothing.
     */
    void (*start)(struct target *target, const char *program, unsigned slot);
    /* Waits until one of those started has ended with status 0 and is known to have; its slot. */
    unsigned (*wait)(struct target *target);
    /* Whatever is still on its way after the last wait. NULL: nothing is. */
    void (*settle)(struct target *target);
    /* A message there and back. NULL: has none. */
    void (*ping)(struct target *target);
    /* Runs `head -c bytes /dev/zero`; the number of bytes that arrived. NULL: is not measured. */
    uint64_t (*output)(struct target *target, uint64_t bytes);
    /* Runs `cat >/dev/null` with so many bytes of input, to its end. NULL: is not measured. */
    void (*input)(struct target *target, uint64_t bytes);
};

extern const struct target_kind target_bare, target_agent, target_echo, target_qga, target_ssh;

struct target *target_open(const struct options *options);
void target_close(struct target *target);

/* CPU time in ns, of pids and helpers. */
uint64_t target_cpu(const struct target *target);

#endif
