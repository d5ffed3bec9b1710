#include "agent/transport/token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/os/random.h"
#include "protocol/cleanup.h"
#include "protocol/limits.h"

enum { RANDOM_BYTES = 32 };

static int check_text(const char *text, size_t length, const char *path, struct nsp_error *err)
{
    if (length < TOKEN_MIN || length > TOKEN_MAX)
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, path, "token has %zu characters, not %d..%d",
                           length, TOKEN_MIN, TOKEN_MAX);
    for (size_t i = 0; i < length; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return nsp_fail_on(err, NSP_E_INVALID_PARAMS, path,
                               "token has a character that is not printable ASCII");
    return 0;
}

static int read_all(int fd, char *target, size_t capacity, size_t *ret_length)
{
    size_t length = 0;
    while (length < capacity) {
        ssize_t got = read(fd, target + length, capacity - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        length += (size_t)got;
    }
    *ret_length = length;
    return 0;
}

int token_read(const char *path, struct token *ret_token, struct nsp_error *err)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return nsp_fail_errno(err, errno == ENOENT ? NSP_E_NOT_FOUND : NSP_E_SYSTEM, errno, "open",
                              path);
    struct stat status;
    if (fstat(fd, &status) < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "fstat", path);
    if (status.st_mode & (S_IRWXG | S_IRWXO))
        return nsp_fail_on(err, NSP_E_PERMISSION, path,
                           "token file has mode %04o; only its owner may have access",
                           status.st_mode & 07777);
    char text[TOKEN_MAX + 2];
    size_t length;
    if (read_all(fd, text, sizeof text, &length) < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "read", path);
    if (length > 0 && text[length - 1] == '\n')
        length--;
    if (check_text(text, length, path, err) < 0)
        return -1;
    struct token token = {.length = length};
    memcpy(token.text, text, length);
    *ret_token = token;
    return 0;
}

static int make_text(struct token *ret_token, struct nsp_error *err)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[RANDOM_BYTES];
    if (random_key_bytes(bytes, sizeof bytes, err) < 0)
        return -1;
    *ret_token = (struct token){.length = 2 * sizeof bytes};
    for (size_t i = 0; i < sizeof bytes; i++) {
        ret_token->text[2 * i] = digits[bytes[i] >> 4];
        ret_token->text[2 * i + 1] = digits[bytes[i] & 15];
    }
    return 0;
}

static int write_file(const char *path, const struct token *token, struct nsp_error *err)
{
    char content[TOKEN_MAX + 1];
    memcpy(content, token->text, token->length);
    content[token->length] = '\n';
    ssize_t size = (ssize_t)token->length + 1;

    AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "open", path);
    errno = 0;
    if (write(fd, content, (size_t)size) != size)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno ? errno : ENOSPC, "write", path);
    /* The umask may have taken the owner's own bits. */
    if (fchmod(fd, S_IRUSR | S_IWUSR) < 0)
        return nsp_fail_errno(err, NSP_E_SYSTEM, errno, "fchmod", path);
    return 0;
}

int token_create(const char *path, struct token *ret_token, struct nsp_error *err)
{
    char temporary[NSP_LIMIT_PATH + 1];
    int length = snprintf(temporary, sizeof temporary, "%s.%d.new", path, (int)getpid());
    if (length < 0 || (size_t)length >= sizeof temporary)
        return nsp_fail_on(err, NSP_E_INVALID_PARAMS, path, "path is too long");
    struct token token;
    if (make_text(&token, err) < 0)
        return -1;
    /* Left by an earlier process of our pid that died in between. */
    (void)unlink(temporary);
    if (write_file(temporary, &token, err) < 0) {
        (void)unlink(temporary);
        return -1;
    }
    if (rename(temporary, path) < 0) {
        int saved = errno;
        (void)unlink(temporary);
        return nsp_fail_errno(err, NSP_E_SYSTEM, saved, "rename", path);
    }
    *ret_token = token;
    return 0;
}

bool token_equal(const struct token *token, const char *given)
{
    char padded[TOKEN_MAX] = {0};
    size_t length = given ? strlen(given) : 0;
    memcpy(padded, given ? given : "", length < sizeof padded ? length : sizeof padded);
    /* volatile: the compiler must not leave the loop at the first difference. */
    volatile unsigned difference = length != token->length;
    for (size_t i = 0; i < sizeof padded; i++)
        difference |= (unsigned char)(padded[i] ^ token->text[i]);
    return difference == 0;
}
