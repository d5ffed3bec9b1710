/* How fast the kernel moves a file in memory into a unix socket: the limit of any download. */
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/options.h"

#define MIB 1048576.0
#define GIB (1024 * MIB)

enum { PIECE = 1 << 18, FILE_BYTES = 64 << 20 };

static void fill(int file)
{
    static const char zeros[PIECE];
    for (size_t done = 0; done < FILE_BYTES; done += PIECE)
        if (measure_check(write(file, zeros, PIECE), "write") != PIECE)
            measure_die("a short write to memory");
}

/* The file again and again. */
static void send_bytes(int file, int to, uint64_t bytes)
{
    off_t offset = 0;
    while (bytes > 0) {
        size_t piece = bytes < FILE_BYTES ? (size_t)bytes : FILE_BYTES;
        if (offset >= FILE_BYTES)
            offset = 0;
        bytes -= (uint64_t)measure_check(sendfile(to, file, &offset, piece), "sendfile");
    }
}

static void receive_bytes(int from, uint64_t bytes)
{
    static char scratch[PIECE];
    while (bytes > 0) {
        long got = measure_check(read(from, scratch, sizeof scratch), "read");
        if (got == 0)
            measure_die("the sender has ended");
        bytes -= (uint64_t)got;
    }
}

int main(int argc, char **argv)
{
    struct options options;
    options_read(argc, argv, &options);
    int fds[2];
    int file = (int)measure_check(memfd_create("bench", MFD_CLOEXEC), "memfd_create");
    fill(file);
    measure_check(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), "socketpair");

    uint64_t before = measure_now();
    pid_t sender = (pid_t)measure_check(fork(), "fork");
    if (sender == 0) {
        close(fds[0]);
        send_bytes(file, fds[1], options.bytes);
        _exit(0);
    }
    close(fds[1]);
    receive_bytes(fds[0], options.bytes);
    double seconds = (double)(measure_now() - before) / 1e9, bytes = (double)options.bytes;
    struct rusage usage;
    measure_check(wait4(sender, NULL, 0, &usage), "wait4");
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;

    measure_report_begin();
    measure_report("mib_per_s", bytes / MIB / seconds);
    measure_report("cpu_s_per_gib", cpu / (bytes / GIB));
    measure_report_end();
    return 0;
}
