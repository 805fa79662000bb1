/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/common/injected.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIGITS	       10
#define COUNT_MAX      UINT64_C(9999999999)
#define EACH_UPTO      100 /* written one by one; from there on at powers of two */
#define LINE_MAX_BYTES 256

struct injected {
	int fd;
	off_t digits;	      /* where they stand in the file */
	uint64_t count;	      /* atomic */
	pthread_mutex_t lock; /* of the file's digits: a smaller count never comes last */
};

static int append_line(struct injected *f, const char *id, const char *component)
{
	char line[LINE_MAX_BYTES];
	struct stat st;
	const int n = snprintf(line, sizeof(line), "%s %s %0*d\n", id, component, DIGITS, 0);
	int ret = 0;

	if (n < 0 || (size_t)n >= sizeof(line))
		return -ENAMETOOLONG;
	/* Two components may start at once: the end of the file belongs to who holds the lock. */
	if (flock(f->fd, LOCK_EX))
		return -errno;
	if (fstat(f->fd, &st) || pwrite(f->fd, line, (size_t)n, st.st_size) != n)
		ret = errno ? -errno : -EIO;
	f->digits = st.st_size + n - 1 - DIGITS;
	flock(f->fd, LOCK_UN);
	return ret;
}

int injected_start(const char *path, const char *id, const char *component, struct injected **out)
{
	struct injected *f = calloc(1, sizeof(*f));
	int ret;

	if (!f)
		return -ENOMEM;
	f->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	ret = f->fd < 0 ? -errno : append_line(f, id, component);
	if (ret) {
		if (f->fd >= 0)
			close(f->fd);
		free(f);
		return ret;
	}
	pthread_mutex_init(&f->lock, NULL);
	*out = f;
	return 0;
}

static void write_count(struct injected *f)
{
	char digits[DIGITS + 1];
	uint64_t n;

	pthread_mutex_lock(&f->lock);
	n = __atomic_load_n(&f->count, __ATOMIC_RELAXED);
	snprintf(digits, sizeof(digits), "%0*" PRIu64, DIGITS, n < COUNT_MAX ? n : COUNT_MAX);
	if (pwrite(f->fd, digits, DIGITS, f->digits) != DIGITS)
		perror("a count of injections could not be written");
	pthread_mutex_unlock(&f->lock);
}

void injected_count(struct injected *f)
{
	const uint64_t n = __atomic_add_fetch(&f->count, 1, __ATOMIC_RELAXED);

	if (n <= EACH_UPTO || (n & (n - 1)) == 0)
		write_count(f);
}

void injected_end(struct injected *f)
{
	if (!f)
		return;
	write_count(f);
	close(f->fd);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

/* --- reading ----------------------------------------------------------------------------------- */

static struct injected_sum *find_sum(struct injected_sum *sums, size_t n, const char *id,
				     const char *component)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strcmp(sums[i].id, id) == 0 && strcmp(sums[i].component, component) == 0)
			return &sums[i];
	return NULL;
}

static int add_line(struct injected_sum **sums, size_t *n, char *line)
{
	char *component = strchr(line, ' '),
	     *digits = component ? strchr(component + 1, ' ') : NULL;
	struct injected_sum *s;

	if (!digits || strspn(digits + 1, "0123456789") != DIGITS || digits[1 + DIGITS] != '\n')
		return -EBADMSG;
	*component++ = '\0';
	*digits++ = '\0';
	s = find_sum(*sums, *n, line, component);
	if (!s) {
		s = realloc(*sums, (*n + 1) * sizeof(*s));
		if (!s)
			return -ENOMEM;
		*sums = s;
		s += (*n)++;
		*s = (struct injected_sum){ .id = strdup(line), .component = strdup(component) };
		if (!s->id || !s->component)
			return -ENOMEM;
	}
	s->count += strtoull(digits, NULL, 10);
	return 0;
}

int injected_read(const char *path, struct injected_sum **sums, size_t *n)
{
	FILE *f = fopen(path, "re");
	char line[LINE_MAX_BYTES];
	int ret = 0;

	*sums = NULL;
	*n = 0;
	if (!f)
		return -errno;
	while (!ret && fgets(line, sizeof(line), f))
		ret = add_line(sums, n, line);
	fclose(f);
	if (!ret)
		return 0;
	injected_free(*sums, *n);
	*sums = NULL;
	*n = 0;
	return ret;
}

void injected_free(struct injected_sum *sums, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		free(sums[i].id);
		free(sums[i].component);
	}
	free(sums);
}
