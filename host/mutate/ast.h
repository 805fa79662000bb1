/* SPDX-License-Identifier: BSD-2-Clause */
/* One C file as clang sees it: where each expression stands in the text, and what it says there. */
#ifndef HOST_MUTATE_AST_H
#define HOST_MUTATE_AST_H

#include <clang-c/Index.h>
#include <stdbool.h>
#include <stddef.h>

struct ast {
	const char *path;
	char *text;
	size_t size;
	CXIndex index;
	CXTranslationUnit unit;
	CXFile file;
};

/* Bytes of the file; n == 0: none of its own (another file, a macro's inside). */
struct span {
	unsigned int off, n, line;
};

struct kids {
	CXCursor *v;
	unsigned int n;
};

/* The flags are the compiler's. 0 or -errno, which it has told on stderr: unreadable, or clang finds no C in it. */
int ast_open(struct ast *a, const char *path, const char *const *flags, int nflags);
void ast_close(struct ast *a);

/* The text that a cursor covers in the file itself; a macro's use counts as its text. */
struct span ast_span(const struct ast *a, CXCursor c);
/* The same as one line, to be freed. */
char *ast_text(const struct ast *a, struct span s);
/* The children, to be freed by kids_free(). */
struct kids kids_of(CXCursor c);
void kids_free(struct kids *k);
/* Without parentheses and implicit conversions around it. */
CXCursor ast_bare(CXCursor c);
/* True: the cursor's name is this one. */
bool ast_is(CXCursor c, const char *name);
/*
 * The operator between an expression's two operands, as it is written ("<", "&&"); "" where a macro hides it. The
 * caller's buffer has room for four bytes.
 */
const char *ast_operator(const struct ast *a, CXCursor left, CXCursor right, char out[4]);

#endif
