/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/cli/image.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/config_section.h"

#define IMAGE_MAX (64u << 20)
#define TESTS_MAX 4096
#define NS_PER_MS 1000000

/* struct test of lib/test.h as it lies in the file: the payload is 64-bit, so is each field. */
struct test_entry {
	uint64_t id, clause, owner, needs, timeout, fn;
};
_Static_assert(sizeof(struct test_entry) == 48, "lib/test.h");
#define LIVENESS (1ull << 63) /* in timeout */

struct elf {
	const uint8_t *data;
	size_t size;
	Elf64_Ehdr eh;
};

/* n bytes at offset off, copied; the file may lie and may be unaligned. */
static int elf_get(const struct elf *e, uint64_t off, void *out, size_t n)
{
	if (off > e->size || n > e->size - off)
		return -EBADMSG;
	memcpy(out, e->data + off, n);
	return 0;
}

static int elf_open(struct elf *e, const uint8_t *data, size_t size)
{
	e->data = data;
	e->size = size;
	if (elf_get(e, 0, &e->eh, sizeof(e->eh)) || memcmp(e->eh.e_ident, ELFMAG, SELFMAG) != 0 ||
	    e->eh.e_ident[EI_CLASS] != ELFCLASS64 || e->eh.e_ident[EI_DATA] != ELFDATA2LSB ||
	    e->eh.e_machine != EM_X86_64)
		return -ENOEXEC;
	if (e->eh.e_phnum && e->eh.e_phentsize != sizeof(Elf64_Phdr))
		return -EBADMSG;
	if (e->eh.e_shnum && e->eh.e_shentsize != sizeof(Elf64_Shdr))
		return -EBADMSG;
	return 0;
}

/* The file offset of n bytes at a virtual address. 0 or -EBADMSG. */
static int elf_offset(const struct elf *e, uint64_t va, uint64_t n, uint64_t *off)
{
	Elf64_Phdr ph;
	unsigned int i;

	for (i = 0; i < e->eh.e_phnum; i++) {
		if (elf_get(e, e->eh.e_phoff + (uint64_t)i * sizeof(ph), &ph, sizeof(ph)))
			return -EBADMSG;
		if (ph.p_type != PT_LOAD || va < ph.p_vaddr || va - ph.p_vaddr > ph.p_filesz ||
		    n > ph.p_filesz - (va - ph.p_vaddr))
			continue;
		*off = ph.p_offset + (va - ph.p_vaddr);
		return *off > e->size || n > e->size - *off ? -EBADMSG : 0;
	}
	return -EBADMSG;
}

static int elf_string(const struct elf *e, uint64_t va, char **out)
{
	uint64_t off;
	size_t max;

	if (elf_offset(e, va, 1, &off))
		return -EBADMSG;
	max = e->size - off;
	if (!memchr(e->data + off, 0, max))
		return -EBADMSG;
	*out = xstrdup((const char *)e->data + off);
	return 0;
}

static int section(const struct elf *e, unsigned int i, Elf64_Shdr *sh)
{
	return elf_get(e, e->eh.e_shoff + (uint64_t)i * sizeof(*sh), sh, sizeof(*sh));
}

/* The value of a symbol; 0 or -ENODATA. */
static int symbol_in(const struct elf *e, const Elf64_Shdr *symtab, const char *name,
		     uint64_t *value)
{
	const size_t len = strlen(name) + 1;
	Elf64_Shdr str;
	Elf64_Sym sym;
	uint64_t off;

	if (section(e, symtab->sh_link, &str) || str.sh_offset > e->size)
		return -ENODATA;
	for (off = 0; off + sizeof(sym) <= symtab->sh_size; off += sizeof(sym)) {
		uint64_t at;

		if (elf_get(e, symtab->sh_offset + off, &sym, sizeof(sym)))
			return -ENODATA;
		at = str.sh_offset + sym.st_name;
		if (at > e->size || len > e->size - at || memcmp(e->data + at, name, len) != 0)
			continue;
		*value = sym.st_value;
		return 0;
	}
	return -ENODATA;
}

static int symbol(const struct elf *e, const char *name, uint64_t *value)
{
	Elf64_Shdr sh;
	unsigned int i;

	for (i = 0; i < e->eh.e_shnum; i++) {
		if (section(e, i, &sh))
			return -EBADMSG;
		if (sh.sh_type == SHT_SYMTAB && symbol_in(e, &sh, name, value) == 0)
			return 0;
	}
	return -ENODATA;
}

static int compare(const void *a, const void *b)
{
	const struct image_test *x = a, *y = b;
	const size_t nx = strcspn(x->id, "."), ny = strcspn(y->id, ".");
	int c = memcmp(x->id, y->id, nx < ny ? nx : ny);

	/* Suites first, as the payload sorts. */
	if (c == 0 && nx != ny)
		c = nx < ny ? -1 : 1;
	return c ? c : strcmp(x->id, y->id);
}

static int read_entry(const struct elf *e, uint64_t va, struct image_test *t)
{
	struct test_entry raw;
	uint64_t off;

	if (elf_offset(e, va, sizeof(raw), &off) || elf_get(e, off, &raw, sizeof(raw)))
		return -EBADMSG;
	if (elf_string(e, raw.id, &t->id) || elf_string(e, raw.clause, &t->clause))
		return -EBADMSG;
	if (raw.owner && elf_string(e, raw.owner, &t->owner))
		return -EBADMSG;
	t->timeout_ms = (raw.timeout & ~LIVENESS) / NS_PER_MS;
	return 0;
}

int image_tests_parse(const uint8_t *data, size_t size, struct image_tests *out)
{
	uint64_t start, stop, va;
	struct elf e;
	size_t i;
	int ret;

	memset(out, 0, sizeof(*out));
	ret = elf_open(&e, data, size);
	if (ret)
		return ret;
	if (symbol(&e, "start_assay_tests", &start) || symbol(&e, "stop_assay_tests", &stop))
		return -ENODATA;
	if (stop < start || (stop - start) % sizeof(struct test_entry) ||
	    (stop - start) / sizeof(struct test_entry) > TESTS_MAX)
		return -EBADMSG;
	out->v = xcalloc((stop - start) / sizeof(struct test_entry), sizeof(*out->v));
	for (va = start; va < stop; va += sizeof(struct test_entry)) {
		ret = read_entry(&e, va, &out->v[out->n++]);
		if (ret) {
			image_tests_free(out);
			return ret;
		}
	}
	qsort(out->v, out->n, sizeof(*out->v), compare);
	out->ids = xcalloc(out->n, sizeof(*out->ids));
	for (i = 0; i < out->n; i++)
		out->ids[i] = out->v[i].id;
	return 0;
}

int image_tests_read(const char *path, struct image_tests *out)
{
	char *data;
	size_t n;
	int ret;

	memset(out, 0, sizeof(*out));
	ret = read_file(path, IMAGE_MAX, &data, &n);
	if (ret)
		return ret;
	ret = image_tests_parse((const uint8_t *)data, n, out);
	free(data);
	return ret;
}

/* struct cmdline_option of lib/cmdline.h as it lies in the file. */
struct option_entry {
	uint64_t key, help;
};
#define OPTIONS_MAX 1024

static int options_parse(const uint8_t *data, size_t size, struct strv *keys)
{
	struct option_entry raw;
	uint64_t start, stop, va, off;
	struct elf e;
	char *key;
	int ret;

	ret = elf_open(&e, data, size);
	if (ret)
		return ret;
	if (symbol(&e, "start_assay_options", &start) || symbol(&e, "stop_assay_options", &stop))
		return -ENODATA;
	if (stop < start || (stop - start) / sizeof(raw) > OPTIONS_MAX)
		return -EBADMSG;
	for (va = start; va + sizeof(raw) <= stop; va += sizeof(raw)) {
		if (elf_offset(&e, va, sizeof(raw), &off) || elf_get(&e, off, &raw, sizeof(raw)) ||
		    elf_string(&e, raw.key, &key))
			return -EBADMSG;
		strv_take(keys, key);
	}
	return 0;
}

int image_options_read(const char *path, struct strv *keys)
{
	char *data;
	size_t n;
	int ret;

	ret = read_file(path, IMAGE_MAX, &data, &n);
	if (ret)
		return ret;
	ret = options_parse((const uint8_t *)data, n, keys);
	free(data);
	return ret;
}

void image_tests_free(struct image_tests *t)
{
	size_t i;

	for (i = 0; i < t->n; i++) {
		free(t->v[i].id);
		free(t->v[i].clause);
		free(t->v[i].owner);
	}
	free(t->v);
	free(t->ids);
	memset(t, 0, sizeof(*t));
}

const struct image_test *image_tests_find(const struct image_tests *t, const char *id)
{
	size_t i;

	for (i = 0; i < t->n; i++)
		if (strcmp(t->v[i].id, id) == 0)
			return &t->v[i];
	return NULL;
}

/* --- the patchable command line ---------------------------------------------------------- */

/* The only section, checked; 0 or as image_config_read(). */
static int find_config(const uint8_t *data, size_t size, size_t *at)
{
	static const char magic[16] = CONFIG_SECTION_MAGIC;
	const size_t need = sizeof(struct config_section);
	const uint8_t *p = data, *const end = data + size;
	uint32_t text_size, len;
	bool found = false;

	while ((size_t)(end - p) >= need) {
		p = memmem(p, (size_t)(end - p), magic, sizeof(magic));
		if (!p || (size_t)(end - p) < need)
			break;
		memcpy(&text_size, p + sizeof(magic), sizeof(text_size));
		memcpy(&len, p + sizeof(magic) + 4, sizeof(len));
		/* The magic also stands where code compares with it; only the section has its size behind. */
		if (text_size == need - 24) {
			if (found)
				return -ENOTUNIQ;
			if (len > text_size)
				return -EBADMSG;
			*at = (size_t)(p - data);
			found = true;
		}
		p++;
	}
	return found ? 0 : -ENOENT;
}

int image_config_read(const uint8_t *data, size_t size, char **text)
{
	struct config_section c;
	size_t at;
	const int ret = find_config(data, size, &at);

	if (ret)
		return ret;
	memcpy(&c, data + at, sizeof(c));
	*text = xstrndup(c.text, c.len);
	return 0;
}

/* The PE's checksum is 0 in what we build; a signing tool may have set it. */
static void pe_fix_checksum(uint8_t *data, size_t size)
{
	uint32_t pe, sum = 0, old;
	size_t at, i;

	if (size < 0x40 || data[0] != 'M' || data[1] != 'Z')
		return;
	memcpy(&pe, data + 0x3c, sizeof(pe));
	if (pe > size || size - pe < 0x5c || memcmp(data + pe, "PE\0\0", 4) != 0)
		return;
	at = pe + 0x58; /* signature 4, COFF header 20, offset 64 of the optional header */
	memcpy(&old, data + at, sizeof(old));
	if (!old)
		return;
	memset(data + at, 0, sizeof(old));
	for (i = 0; i < size; i += 2) {
		sum += data[i] | (i + 1 < size ? (uint32_t)data[i + 1] << 8 : 0);
		sum = (sum & 0xffff) + (sum >> 16);
	}
	sum += (uint32_t)size;
	memcpy(data + at, &sum, sizeof(sum));
}

int image_config_write(uint8_t *data, size_t size, const char *text)
{
	struct config_section c;
	const size_t len = strlen(text);
	size_t at;
	const int ret = find_config(data, size, &at);

	if (ret)
		return ret;
	if (len >= sizeof(c.text))
		return -ENOSPC;
	memcpy(&c, data + at, sizeof(c));
	memset(c.text, 0, sizeof(c.text));
	memcpy(c.text, text, len);
	c.len = (uint32_t)len;
	memcpy(data + at, &c, sizeof(c));
	pe_fix_checksum(data, size);
	return 0;
}
