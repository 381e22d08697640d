#pragma once
/* The program `world`, run and spoken to by tests. Everything fails the test that calls it when it goes wrong. */
#include <stddef.h>
#include <sys/types.h>

#define WORLD "tests/world/world"
#define MAIL "EHLO me\r\nMAIL FROM:<p@probe.test>\r\n"

struct running {
	pid_t pid;
	int smtp, control; /* ports */
	char dns[64];	   /* ADDRESS:PORT */
};

struct running *talk_start(const char *description);
void talk_stop(struct running *);
pid_t talk_launch(char *const argv[], int *out, int with_errors);
int talk_status(pid_t); /* waits for its end */

int connect_to(const char *ip, int port); /* -1: refused */
int connect_from(const char *source, const char *ip, int port);
void send_text(int fd, const char *text);
void expect(int fd, const char *end); /* reads until the text ends with these words */
void read_all(int fd, char *text, size_t room);
void has(const char *text, const char *words);

/* Valid until the next call: an answer of the control port; what a host said to a text sent at once, behind its
 * greeting, with the connection's own side closed. */
char *control(struct running *, const char *request);
char *say(struct running *, const char *ip, const char *text);
