/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/common/util.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static _Noreturn void out_of_memory(void)
{
	static const char msg[] = "out of memory\n";
	ssize_t ignored = write(STDERR_FILENO, msg, sizeof(msg) - 1);

	(void)ignored;
	abort();
}

void *xcalloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);

	if (!p)
		out_of_memory();
	return p;
}

void *xrealloc(void *p, size_t size)
{
	void *q = realloc(p, size ? size : 1);

	if (!q)
		out_of_memory();
	return q;
}

char *xstrndup(const char *s, size_t n)
{
	char *p = strndup(s, n);

	if (!p)
		out_of_memory();
	return p;
}

char *xstrdup(const char *s)
{
	return xstrndup(s, strlen(s));
}

static char *__attribute__((format(printf, 1, 0))) xvasprintf(const char *fmt, va_list ap)
{
	char *s;

	if (vasprintf(&s, fmt, ap) < 0)
		out_of_memory();
	return s;
}

char *xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = xvasprintf(fmt, ap);
	va_end(ap);
	return s;
}

void sbuf_addn(struct sbuf *b, const void *p, size_t n)
{
	if (b->len + n + 1 > b->cap) {
		b->cap = (b->len + n + 1) * 2;
		b->s = xrealloc(b->s, b->cap);
	}
	if (n)
		memcpy(b->s + b->len, p, n);
	b->len += n;
	b->s[b->len] = '\0';
}

void sbuf_add(struct sbuf *b, const char *s)
{
	sbuf_addn(b, s, strlen(s));
}

void sbuf_addf(struct sbuf *b, const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = xvasprintf(fmt, ap);
	va_end(ap);
	sbuf_add(b, s);
	free(s);
}

void sbuf_add_quoted(struct sbuf *b, const char *s)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "_-+=./,:@%";

	if (*s && s[strspn(s, plain)] == '\0') {
		sbuf_add(b, s);
		return;
	}
	sbuf_add(b, "'");
	for (; *s; s++) {
		if (*s == '\'')
			sbuf_add(b, "'\\''");
		else
			sbuf_addn(b, s, 1);
	}
	sbuf_add(b, "'");
}

static bool printable(char c)
{
	return c >= ' ' && c <= '~';
}

void sbuf_add_clean(struct sbuf *b, const char *s)
{
	for (; *s; s++)
		sbuf_addn(b, printable(*s) ? s : *s == '\t' ? " " : "?", 1);
}

void sbuf_add_xml(struct sbuf *b, const char *s)
{
	for (; *s; s++) {
		switch (*s) {
		case '&':
			sbuf_add(b, "&amp;");
			break;
		case '<':
			sbuf_add(b, "&lt;");
			break;
		case '>':
			sbuf_add(b, "&gt;");
			break;
		case '"':
			sbuf_add(b, "&quot;");
			break;
		default:
			sbuf_addn(b, printable(*s) || *s == '\n' ? s : "?", 1);
		}
	}
}

void sbuf_free(struct sbuf *b)
{
	free(b->s);
	memset(b, 0, sizeof(*b));
}

char *sbuf_steal(struct sbuf *b)
{
	char *s = b->s ? b->s : xstrdup("");

	memset(b, 0, sizeof(*b));
	return s;
}

void strv_take(struct strv *l, char *s)
{
	l->v = xrealloc(l->v, (l->n + 2) * sizeof(*l->v));
	l->v[l->n++] = s;
	l->v[l->n] = NULL;
}

void strv_add(struct strv *l, const char *s)
{
	strv_take(l, xstrdup(s));
}

void strv_free(struct strv *l)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
	memset(l, 0, sizeof(*l));
}

bool strv_has(const struct strv *l, const char *s)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (strcmp(l->v[i], s) == 0)
			return true;
	return false;
}

char *strv_join(const struct strv *l, const char *separator)
{
	struct sbuf b = { 0 };
	size_t i;

	for (i = 0; i < l->n; i++)
		sbuf_addf(&b, "%s%s", i ? separator : "", l->v[i]);
	return sbuf_steal(&b);
}

bool ends_with(const char *s, const char *suffix)
{
	const size_t n = strlen(s), k = strlen(suffix);

	return n >= k && strcmp(s + n - k, suffix) == 0;
}

uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

int mkdir_p(const char *path)
{
	char *p = xstrdup(path), *s;
	int ret = 0;

	for (s = p + 1; *p; s++) {
		const char c = *s;

		if (c != '/' && c != '\0')
			continue;
		*s = '\0';
		if (mkdir(p, 0777) && errno != EEXIST) {
			ret = -errno;
			break;
		}
		*s = c;
		if (!c)
			break;
	}
	free(p);
	return ret;
}

int read_file(const char *path, size_t max, char **out, size_t *len)
{
	struct sbuf b = { 0 };
	char chunk[16384];
	int ret = 0;
	ssize_t n;
	const int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	sbuf_addn(&b, "", 0);
	while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || b.len + (size_t)n > max) {
			ret = n < 0 ? -errno : -EFBIG;
			break;
		}
		sbuf_addn(&b, chunk, (size_t)n);
	}
	close(fd);
	if (ret) {
		sbuf_free(&b);
		return ret;
	}
	if (len)
		*len = b.len;
	*out = sbuf_steal(&b);
	return 0;
}

/* 0 or -errno. */
static int write_all(int fd, const char *p, size_t len)
{
	while (len) {
		const ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The descriptor of this process that a path stands for, or -1. */
static int own_descriptor(const char *path)
{
	static const char *const dirs[] = { "/dev/fd/", "/proc/self/fd/" };
	size_t i, n;
	char *end;
	long fd;

	if (strcmp(path, "-") == 0 || strcmp(path, "/dev/stdout") == 0)
		return STDOUT_FILENO;
	if (strcmp(path, "/dev/stderr") == 0)
		return STDERR_FILENO;
	for (i = 0; i < ARRAY_SIZE(dirs); i++) {
		n = strlen(dirs[i]);
		if (strncmp(path, dirs[i], n) != 0)
			continue;
		fd = strtol(path + n, &end, 10);
		if (end != path + n && !*end && fd >= 0 && fd <= INT_MAX)
			return (int)fd;
	}
	return -1;
}

bool is_stdout(const char *path)
{
	return own_descriptor(path) == STDOUT_FILENO;
}

/* A device, a FIFO or a socket stays what it is. */
static int write_node(const char *path, const void *data, size_t len)
{
	const int fd = open(path, O_WRONLY | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -errno;
	ret = write_all(fd, data, len);
	if (close(fd) && !ret)
		ret = -errno;
	return ret;
}

static int replace_file(const char *path, const void *data, size_t len)
{
	char *tmp = xasprintf("%s.new", path);
	const int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	int ret;

	if (fd < 0) {
		ret = -errno;
		goto out;
	}
	ret = write_all(fd, data, len);
	if (close(fd) && !ret)
		ret = -errno;
	if (!ret && rename(tmp, path))
		ret = -errno;
	if (ret)
		unlink(tmp);
out:
	free(tmp);
	return ret;
}

int write_file(const char *path, const void *data, size_t len)
{
	const int fd = own_descriptor(path);
	struct stat st;
	char *target;
	int ret;

	if (fd >= 0) {
		fflush(fd == STDERR_FILENO ? stderr : stdout);
		return write_all(fd, data, len);
	}
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return write_node(path, data, len);
	/* A link stays one: the file that it names is replaced. */
	target = realpath(path, NULL);
	ret = replace_file(target ? target : path, data, len);
	free(target);
	return ret;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int remove_tree(const char *path)
{
	return nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) ? -errno : 0;
}

/* Levenshtein's distance, cut off at 64 characters. */
static unsigned int distance(const char *a, const char *b)
{
	enum {
		MAX = 64
	};
	unsigned int row[MAX + 1], i, k;
	const size_t na = strnlen(a, MAX), nb = strnlen(b, MAX);

	for (k = 0; k <= nb; k++)
		row[k] = k;
	for (i = 1; i <= na; i++) {
		unsigned int diagonal = row[0];

		row[0] = i;
		for (k = 1; k <= nb; k++) {
			const unsigned int above = row[k];
			unsigned int best = diagonal + (a[i - 1] != b[k - 1]);

			if (above + 1 < best)
				best = above + 1;
			if (row[k - 1] + 1 < best)
				best = row[k - 1] + 1;
			row[k] = best;
			diagonal = above;
		}
	}
	return row[nb];
}

static unsigned int likeness(const char *word, const char *candidate)
{
	if (*word && strstr(candidate, word))
		return 1;
	return distance(word, candidate);
}

void print_suggestions(FILE *f, const char *word, const char *const *list, size_t n)
{
	const size_t len = strlen(word);
	unsigned int limit = (unsigned int)(len / 3 < 2 ? 2 : len / 3), shown = 0, d;
	size_t i;

	for (d = 0; d <= limit && shown < 3; d++) {
		for (i = 0; i < n && shown < 3; i++) {
			if (likeness(word, list[i]) != d)
				continue;
			fprintf(f, "%s%s", shown++ ? ", " : " (did you mean ", list[i]);
		}
	}
	if (shown)
		fputs("?)", f);
}
