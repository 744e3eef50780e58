/* user: see user.h. */
#include "user.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const char *user_name(uid_t uid, char *buf, size_t size)
{
	FILE *f = fopen("/etc/passwd", "re");
	const struct passwd *entry;

	snprintf(buf, size, "%u", (unsigned)uid);
	if (!f)
		return buf;
	while ((entry = fgetpwent(f)))
		if (entry->pw_uid == uid) {
			snprintf(buf, size, "%s", entry->pw_name);
			break;
		}
	fclose(f);
	return buf;
}

const char *user_who(char *buf, size_t size)
{
	const char *before = getenv("SUDO_USER");
	const uid_t uid = geteuid();
	char name[64];

	user_name(uid, name, sizeof(name));
	snprintf(buf, size, "uid %u (%s), pid %d%s%.64s", (unsigned)uid, name, (int)getpid(),
		 before ? ", sudo of " : "", before ? before : "");
	return buf;
}
