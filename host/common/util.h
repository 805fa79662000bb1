/* SPDX-License-Identifier: BSD-2-Clause */
/* Small things that the host's programs share. Running out of memory ends the program. */
#ifndef HOST_COMMON_UTIL_H
#define HOST_COMMON_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A string that grows; s is NULL or terminated. {0} is an empty one. */
struct sbuf {
	char *s;
	size_t len, cap;
};
void sbuf_addn(struct sbuf *b, const void *p, size_t n);
void sbuf_add(struct sbuf *b, const char *s);
void sbuf_addf(struct sbuf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* As one word of a POSIX shell. */
void sbuf_add_quoted(struct sbuf *b, const char *s);
/* Bytes of unknown origin for a terminal: all that is not printable ASCII becomes '?'. */
void sbuf_add_clean(struct sbuf *b, const char *s);
/* As the inside of XML or HTML text, or of a quoted attribute. */
void sbuf_add_xml(struct sbuf *b, const char *s);
void sbuf_free(struct sbuf *b);
/* The string, to be freed by the caller; never NULL. */
char *sbuf_steal(struct sbuf *b);

/* A list of strings that it owns; v is NULL or ends with NULL, as argv does. */
struct strv {
	char **v;
	size_t n;
};
void strv_add(struct strv *l, const char *s);
void strv_take(struct strv *l, char *s);
void strv_free(struct strv *l);
bool strv_has(const struct strv *l, const char *s);
/* All of them with separator between each two, to be freed; "" if there are none. */
char *strv_join(const struct strv *l, const char *separator);

bool ends_with(const char *s, const char *suffix);

/* Monotonic milliseconds. */
uint64_t now_ms(void);

/* Makes a folder and those above it. 0 or -errno. */
int mkdir_p(const char *path);
/* The whole file, terminated by a 0 that *len does not count. -EFBIG if longer than max. 0 or -errno. */
int read_file(const char *path, size_t max, char **out, size_t *len);
/*
 * Writes a file whole: through one beside it that is renamed. Into a device, a FIFO or a socket it writes
 * directly, and into this process's own descriptor for "-" (standard output), /dev/stdout and /dev/fd/N.
 * 0 or -errno.
 */
int write_file(const char *path, const void *data, size_t len);
/* Whether write_file() takes path for standard output. */
bool is_stdout(const char *path);
/* A folder and what is in it; symbolic links are not followed. 0 or -errno. */
int remove_tree(const char *path);

/* Prints up to three of list[0..n) that look like word: " (did you mean a, b?)", or nothing. */
void print_suggestions(FILE *f, const char *word, const char *const *list, size_t n);

#endif
