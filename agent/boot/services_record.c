#include "agent/boot/services_record.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/os/memfd.h"
#include "agent/schema/service.h"
#include "protocol/cleanup.h"

static const size_t memory_size = SERVICES_RECORDS * sizeof(struct services_record);

static int map(int fd, struct services_record **ret_records, struct nsp_error *err)
{
    void *memory = mmap(NULL, memory_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return nsp_fail_errno(err, NSP_E_EXHAUSTED, errno, "mmap", "services");
    *ret_records = memory;
    return 0;
}

int services_record_create(struct services_record **ret_records, int *ret_fd, struct nsp_error *err)
{
    AUTO_FD int fd = -1;
    if (memfd_new("services", memory_size, &fd, err) < 0 || map(fd, ret_records, err) < 0)
        return -1;
    *ret_fd = STEAL_FD(fd);
    return 0;
}

/* Nobody else writes there, but an agent that died may have been cut short. */
static void mend(struct services_record *record)
{
    record->name[sizeof record->name - 1] = '\0';
    record->failure[sizeof record->failure - 1] = '\0';
    if (record->state >= SERVICE_STATE_COUNT)
        record->state = SERVICE_FAILED;
}

int services_record_open(int fd, struct services_record **ret_records, struct nsp_error *err)
{
    struct services_record *records = NULL;
    if (memfd_check(fd, memory_size, err) < 0 || map(fd, &records, err) < 0)
        return -1;
    for (unsigned i = 0; i < SERVICES_RECORDS; i++)
        mend(&records[i]);
    *ret_records = records;
    return 0;
}

void services_record_close(struct services_record *records)
{
    if (records)
        munmap(records, memory_size);
}

int services_record_get(struct services_record *records, const char *name,
                        struct services_record **ret_record, struct nsp_error *err)
{
    size_t length = strlen(name);
    if (length == 0 || length >= SERVICES_NAME)
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, "name",
                           "the name of a service has 1 to %d bytes", SERVICES_NAME - 1);
    struct services_record *empty = NULL;
    for (unsigned i = 0; i < SERVICES_RECORDS; i++) {
        if (strcmp(records[i].name, name) == 0) {
            *ret_record = &records[i];
            return 0;
        }
        if (!empty && !records[i].name[0])
            empty = &records[i];
    }
    if (!empty)
        return nsp_fail_on(err, NSP_E_EXHAUSTED, "services", "there are more than %d services",
                           SERVICES_RECORDS);
    *empty = (struct services_record){.state = SERVICE_WAITING};
    memcpy(empty->name, name, length + 1);
    *ret_record = empty;
    return 0;
}
