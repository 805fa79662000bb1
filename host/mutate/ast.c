/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/mutate/ast.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/common/util.h"

#define FILE_MAX_BYTES (8u << 20)

/* Names of headers that are not found, syntax errors: what clang does not read is not mutated, so say so. */
static bool tell_errors(const struct ast *a)
{
	const unsigned int n = clang_getNumDiagnostics(a->unit);
	bool fatal = false;
	unsigned int i;

	for (i = 0; i < n; i++) {
		CXDiagnostic d = clang_getDiagnostic(a->unit, i);
		CXString s;

		if (clang_getDiagnosticSeverity(d) == CXDiagnostic_Fatal) {
			s = clang_formatDiagnostic(d, clang_defaultDiagnosticDisplayOptions());
			fprintf(stderr, "mutate: %s\n", clang_getCString(s));
			clang_disposeString(s);
			fatal = true;
		}
		clang_disposeDiagnostic(d);
	}
	return fatal;
}

int ast_open(struct ast *a, const char *path, const char *const *flags, int nflags)
{
	int ret;

	memset(a, 0, sizeof(*a));
	a->path = path;
	ret = read_file(path, FILE_MAX_BYTES, &a->text, &a->size);
	if (ret) {
		fprintf(stderr, "mutate: %s: %s\n", path, strerror(-ret));
		return ret;
	}
	a->index = clang_createIndex(0, 0);
	a->unit = clang_parseTranslationUnit(a->index, path, flags, nflags, NULL, 0,
					     CXTranslationUnit_KeepGoing);
	if (!a->unit || tell_errors(a)) {
		fprintf(stderr, "mutate: %s: clang does not understand it\n", path);
		ast_close(a);
		return -EINVAL;
	}
	a->file = clang_getFile(a->unit, path);
	return 0;
}

void ast_close(struct ast *a)
{
	if (a->unit)
		clang_disposeTranslationUnit(a->unit);
	if (a->index)
		clang_disposeIndex(a->index);
	free(a->text);
	memset(a, 0, sizeof(*a));
}

struct span ast_span(const struct ast *a, CXCursor c)
{
	const CXSourceRange r = clang_getCursorExtent(c);
	unsigned int from = 0, to = 0, line = 0;
	CXFile f1 = NULL, f2 = NULL;

	clang_getFileLocation(clang_getRangeStart(r), &f1, &line, NULL, &from);
	clang_getFileLocation(clang_getRangeEnd(r), &f2, NULL, NULL, &to);
	if (!f1 || !f2 || !clang_File_isEqual(f1, a->file) || !clang_File_isEqual(f2, a->file) ||
	    to <= from || to > a->size)
		return (struct span){ 0 };
	return (struct span){ .off = from, .n = to - from, .line = line };
}

char *ast_text(const struct ast *a, struct span s)
{
	char *out = xcalloc(1, s.n + 1), *p = out;
	unsigned int i;

	for (i = 0; i < s.n; i++) {
		const char ch = a->text[s.off + i];

		if (!isspace((unsigned char)ch))
			*p++ = ch;
		else if (p > out && p[-1] != ' ')
			*p++ = ' ';
	}
	return out;
}

static enum CXChildVisitResult collect(CXCursor c, CXCursor parent, CXClientData data)
{
	struct kids *k = data;

	(void)parent;
	k->v = xrealloc(k->v, (k->n + 1) * sizeof(*k->v));
	k->v[k->n++] = c;
	return CXChildVisit_Continue;
}

struct kids kids_of(CXCursor c)
{
	struct kids k = { 0 };

	clang_visitChildren(c, collect, &k);
	return k;
}

void kids_free(struct kids *k)
{
	free(k->v);
	k->v = NULL;
	k->n = 0;
}

CXCursor ast_bare(CXCursor c)
{
	for (;;) {
		const enum CXCursorKind kind = clang_getCursorKind(c);
		struct kids k;
		CXCursor only;

		if (kind != CXCursor_UnexposedExpr && kind != CXCursor_ParenExpr)
			return c;
		k = kids_of(c);
		if (k.n != 1) {
			kids_free(&k);
			return c;
		}
		only = k.v[0];
		kids_free(&k);
		c = only;
	}
}

bool ast_is(CXCursor c, const char *name)
{
	CXString s = clang_getCursorSpelling(c);
	const bool same = strcmp(clang_getCString(s), name) == 0;

	clang_disposeString(s);
	return same;
}

const char *ast_operator(const struct ast *a, CXCursor left, CXCursor right, char out[4])
{
	const struct span l = ast_span(a, left), r = ast_span(a, right);
	unsigned int i, n = 0;

	out[0] = '\0';
	if (!l.n || !r.n || l.off + l.n > r.off)
		return out;
	for (i = l.off + l.n; i < r.off; i++) {
		const char ch = a->text[i];

		if (isspace((unsigned char)ch))
			continue;
		if (n == 3 || !strchr("+-*/%&|^<>=!", ch)) {
			out[0] = '\0';
			return out;
		}
		out[n++] = ch;
	}
	out[n] = '\0';
	return out;
}
