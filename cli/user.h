/* user: who we are and whose a process is, by name where the host's own list has one. */
#ifndef PYLU_USER_H
#define PYLU_USER_H

#include <stddef.h>
#include <sys/types.h>

/* The name of a user, from /etc/passwd alone (a static program asks no name service), else the number. */
const char *user_name(uid_t uid, char *buf, size_t size);

/* "uid 1000 (alice), pid 4711", and who became root by sudo. For the journals of those that are changed. */
const char *user_who(char *buf, size_t size);

#endif
