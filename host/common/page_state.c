/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/common/page_state.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FRAMES (1ull << 30) /* 4 TiB of guest: beyond it the number is a mistake */

static int map_file(int fd, size_t bytes, struct page_states *out)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	out->file = p;
	out->bytes = bytes;
	return 0;
}

int page_states_create(const char *path, uint64_t frames, struct page_states *out)
{
	const size_t bytes = sizeof(struct page_state_file) + frames;
	int fd, ret;

	if (frames == 0 || frames > MAX_FRAMES)
		return -EINVAL;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	ret = ftruncate(fd, (off_t)bytes) ? -errno : map_file(fd, bytes, out);
	close(fd);
	if (ret)
		return ret;
	memset(out->file->state, PAGE_NO_MEMORY, frames);
	out->file->version = PAGE_STATE_VERSION;
	out->file->is_protected = 0;
	out->file->frames = frames;
	out->file->conversions = 0;
	/* The magic last: who sees it sees the rest. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
	memcpy(out->file->magic, PAGE_STATE_MAGIC, sizeof(out->file->magic));
	return 0;
}

int page_states_open(const char *path, struct page_states *out)
{
	struct stat st;
	int fd, ret;

	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		ret = -errno;
	else if (st.st_size < (off_t)sizeof(struct page_state_file))
		ret = -EPROTO;
	else
		ret = map_file(fd, (size_t)st.st_size, out);
	close(fd);
	if (ret)
		return ret;
	if (memcmp(out->file->magic, PAGE_STATE_MAGIC, sizeof(out->file->magic)) != 0 ||
	    out->file->version != PAGE_STATE_VERSION ||
	    out->file->frames != out->bytes - sizeof(struct page_state_file)) {
		page_states_close(out);
		return -EPROTO;
	}
	return 0;
}

void page_states_close(struct page_states *p)
{
	if (p->file)
		munmap(p->file, p->bytes);
	p->file = NULL;
	p->bytes = 0;
}

bool page_states_allowed(const struct page_states *p, uint64_t gpa, uint64_t len, uint64_t *bad)
{
	const uint64_t last = (gpa + len - 1) >> PAGE_STATE_SHIFT;
	uint64_t frame = gpa >> PAGE_STATE_SHIFT;

	if (!page_states_protected(p) || len == 0)
		return true;
	/* Of a range that wraps, the first frame is none of the machine's. */
	do {
		if (frame < p->file->frames &&
		    __atomic_load_n(&p->file->state[frame], __ATOMIC_ACQUIRE) == PAGE_SHARED)
			continue;
		if (bad)
			*bad = frame << PAGE_STATE_SHIFT;
		return false;
	} while (frame++ != last);
	return true;
}
