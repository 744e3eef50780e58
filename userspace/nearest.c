/* nearest: see nearest.h. */
#include "nearest.h"

#include <stdio.h>
#include <string.h>

#include "pattern.h"

void nearest__consider(struct nearest *near, const struct pattern_set *wanted, const char *module, const char *qualname)
{
	unsigned distance = pattern_set__distance(wanted, module, qualname);
	char name[sizeof(near->best[0].name)];
	size_t at = near->n;

	snprintf(name, sizeof(name), "%s.%s", module, qualname);
	for (char *c = name; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	for (size_t i = 0; i < near->n; i++)
		if (!strcmp(near->best[i].name, name))
			return;
	while (at > 0 && near->best[at - 1].distance > distance)
		at--;
	if (at == NEAREST_MAX)
		return;
	if (near->n < NEAREST_MAX)
		near->n++;
	memmove(&near->best[at + 1], &near->best[at], (near->n - 1 - at) * sizeof(near->best[0]));
	near->best[at].distance = distance;
	memcpy(near->best[at].name, name, sizeof(name));
}
