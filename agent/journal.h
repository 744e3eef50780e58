/*
 * journal: what the agent itself needs of the journal; what is for all is in handlers.h. None of it needs the GIL.
 */
#ifndef PYLU_JOURNAL_H
#define PYLU_JOURNAL_H

/* Lines from now on go to this file too, which is made (0600) when there is the first; NULL: to none. A relative path is one from the current
 * folder. Only with the GIL held. 0 or -errno. */
int journal__set_log(const char *path);
/* The path, to be freed, or NULL. */
char *journal__log(void);
/* Writes to the file what it does not have yet. What fails is a line of the journal. Best called without the GIL: a disk may be slow. */
void journal__flush(void);
/* In a forked child, with the GIL. */
void journal__after_fork(void);

#endif
