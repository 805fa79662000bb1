/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/mutate/list.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define FOLD_DEPTH 8 /* of functions that return what others do */

struct walk {
	const struct ast *a;
	const struct list_options *o;
	struct mutants *out; /* NULL: only looks who is used */
	struct strv *read;   /* NULL: nothing is added */
	struct strv used;    /* functions and enumerators that live code names */
	const char *function;
	CXType returns;
	size_t first; /* of this file in out */
};

static void walk(struct walk *w, CXCursor c, bool stmt);
static void walk_target(struct walk *w, CXCursor c);
static bool changes(const struct walk *w, CXCursor c, const struct kids *k, bool stmt);

/* --- one mutant ---------------------------------------------------------------------------- */

static char *source_line(const struct ast *a, unsigned int off)
{
	unsigned int from = off, to = off;

	while (from && a->text[from - 1] != '\n')
		from--;
	while (to < a->size && a->text[to] != '\n')
		to++;
	while (from < to && isspace((unsigned char)a->text[from]))
		from++;
	while (to > from && isspace((unsigned char)a->text[to - 1]))
		to--;
	return ast_text(a, (struct span){ .off = from, .n = to - from });
}

static bool listed(const struct walk *w, struct span at, const char *to)
{
	size_t i;

	for (i = w->first; i < w->out->n; i++) {
		const struct mutant *m = &w->out->v[i];

		if (m->at.off == at.off && m->at.n == at.n && strcmp(m->to, to) == 0)
			return true;
	}
	return false;
}

/* Takes `to`. */
static void emit(struct walk *w, struct span at, const char *kind, char *to)
{
	struct mutant *m;

	if (!w->out || !at.n || listed(w, at, to)) {
		free(to);
		return;
	}
	if (w->out->n == w->out->room) {
		w->out->room = w->out->room ? 2 * w->out->room : 256;
		w->out->v = xrealloc(w->out->v, w->out->room * sizeof(*w->out->v));
	}
	m = &w->out->v[w->out->n++];
	*m = (struct mutant){
		.path = w->a->path,
		.at = at,
		.function = xstrdup(w->function),
		.kind = kind,
		.from = ast_text(w->a, at),
		.to = to,
		.source = source_line(w->a, at.off),
	};
}

static void emit_copy(struct walk *w, struct span at, const char *kind, const char *to)
{
	emit(w, at, kind, xstrdup(to));
}

/* --- what only a fault reaches ------------------------------------------------------------- */

enum {
	UNKNOWN = -1
};

static bool named(CXCursor c, const struct strv *names)
{
	CXString s = clang_getCursorSpelling(c);
	const bool yes = strv_has(names, clang_getCString(s));

	clang_disposeString(s);
	return yes;
}

static int fold(const struct walk *w, CXCursor c, unsigned int depth);

/* A function whose body is `return E;` is what E is. */
static int fold_function(const struct walk *w, CXCursor call, unsigned int depth)
{
	const CXCursor def = clang_getCursorDefinition(clang_getCursorReferenced(call));
	struct kids k = { 0 }, body = { 0 }, ret = { 0 };
	int v = UNKNOWN;

	if (depth < FOLD_DEPTH && clang_getCursorKind(def) == CXCursor_FunctionDecl)
		k = kids_of(def);
	if (k.n && clang_getCursorKind(k.v[k.n - 1]) == CXCursor_CompoundStmt)
		body = kids_of(k.v[k.n - 1]);
	if (body.n == 1 && clang_getCursorKind(body.v[0]) == CXCursor_ReturnStmt)
		ret = kids_of(body.v[0]);
	if (ret.n == 1)
		v = fold(w, ret.v[0], depth + 1);
	kids_free(&ret);
	kids_free(&body);
	kids_free(&k);
	return v;
}

static int fold_logic(const struct walk *w, const struct kids *k, unsigned int depth)
{
	char op[4];
	int l, r;

	if (k->n != 2)
		return UNKNOWN;
	ast_operator(w->a, k->v[0], k->v[1], op);
	if (strcmp(op, "&&") != 0 && strcmp(op, "||") != 0)
		return UNKNOWN;
	l = fold(w, k->v[0], depth);
	r = fold(w, k->v[1], depth);
	if (op[0] == '&')
		return l == 0 || r == 0 ? 0 : l == 1 && r == 1 ? 1 : UNKNOWN;
	return l == 1 || r == 1 ? 1 : l == 0 && r == 0 ? 0 : UNKNOWN;
}

static char first_char(const struct walk *w, CXCursor c)
{
	const struct span s = ast_span(w->a, c);

	return s.n ? w->a->text[s.off] : '\0';
}

/* What a condition is on a healthy host, where its faults alone tell: 0, 1 or UNKNOWN. */
static int fold(const struct walk *w, CXCursor c, unsigned int depth)
{
	struct kids k;
	int v = UNKNOWN;

	c = ast_bare(c);
	switch (clang_getCursorKind(c)) {
	case CXCursor_CallExpr:
		return named(c, &w->o->faults) ? 0 : fold_function(w, c, depth);
	case CXCursor_DeclRefExpr: {
		const CXCursor def = clang_getCursorReferenced(c);
		CXCursor init;

		if (depth >= FOLD_DEPTH || clang_getCursorKind(def) != CXCursor_VarDecl ||
		    !clang_isConstQualifiedType(clang_getCursorType(def)))
			return UNKNOWN;
		init = clang_Cursor_getVarDeclInitializer(def);
		return clang_Cursor_isNull(init) ? UNKNOWN : fold(w, init, depth + 1);
	}
	case CXCursor_UnaryOperator:
		k = kids_of(c);
		if (first_char(w, c) == '!' && k.n == 1)
			v = fold(w, k.v[0], depth);
		kids_free(&k);
		return v == UNKNOWN ? v : !v;
	case CXCursor_BinaryOperator:
		k = kids_of(c);
		v = fold_logic(w, &k, depth);
		kids_free(&k);
		return v;
	default:
		return UNKNOWN;
	}
}

static char *name_of(CXCursor decl)
{
	CXString usr = clang_getCursorUSR(decl);
	char *text = xstrdup(clang_getCString(usr));

	clang_disposeString(usr);
	return text;
}

/* A variable of a function. What is inside it is no matter of its own. */
static bool is_local(CXCursor decl)
{
	return clang_getCursorKind(decl) == CXCursor_VarDecl &&
	       clang_getCursorKind(clang_getCursorSemanticParent(decl)) == CXCursor_FunctionDecl;
}

/* The name of one of the own fields or of a local variable, to be freed; NULL: it is something else. */
static char *own_name(const struct walk *w, CXCursor c)
{
	const CXCursor f = clang_getCursorReferenced(c);
	CXString name;
	bool own;
	const char *p;
	CXFile file;

	if (!w->o->own)
		return NULL;
	if (clang_getCursorKind(c) == CXCursor_DeclRefExpr)
		return is_local(f) ? name_of(f) : NULL;
	if (clang_getCursorKind(c) != CXCursor_MemberRefExpr ||
	    clang_getCursorKind(f) != CXCursor_FieldDecl)
		return NULL;
	clang_getFileLocation(clang_getCursorLocation(f), &file, NULL, NULL, NULL);
	name = clang_getFileName(file);
	p = clang_getCString(name);
	if (p && strncmp(p, "./", 2) == 0)
		p += 2;
	own = p && strncmp(p, w->o->own, strlen(w->o->own)) == 0;
	clang_disposeString(name);
	return own ? name_of(f) : NULL;
}

/* What it points to is another's. */
static bool is_pointer_variable(CXCursor c)
{
	c = ast_bare(c);
	return clang_getCursorKind(c) == CXCursor_DeclRefExpr &&
	       clang_getCanonicalType(clang_getCursorType(c)).kind == CXType_Pointer;
}

/* Somebody reads it who is no fault. */
static void note_read(struct walk *w, CXCursor c)
{
	char *name = w->read ? own_name(w, c) : NULL;

	if (name && !strv_has(w->read, name))
		strv_add(w->read, name);
	free(name);
}

/* Is a field or variable on the way to what this names one that only faults read? */
static bool unread(const struct walk *w, CXCursor c)
{
	struct kids k;
	char *field;
	bool yes;

	c = ast_bare(c);
	if (clang_getCursorKind(c) != CXCursor_MemberRefExpr &&
	    clang_getCursorKind(c) != CXCursor_ArraySubscriptExpr &&
	    clang_getCursorKind(c) != CXCursor_DeclRefExpr)
		return false;
	field = own_name(w, c);
	yes = field && !strv_has(&w->o->read, field);
	free(field);
	k = kids_of(c);
	/* A local structure may be read as a whole: its fields are not judged one by one. */
	if (k.n && clang_getCursorKind(ast_bare(k.v[0])) == CXCursor_DeclRefExpr &&
	    is_local(clang_getCursorReferenced(ast_bare(k.v[0]))) && !is_pointer_variable(k.v[0]))
		yes = unread(w, k.v[0]);
	else
		yes = yes || (k.n && !is_pointer_variable(k.v[0]) && unread(w, k.v[0]));
	kids_free(&k);
	return yes;
}

/* Calls that nobody outside can see, and blocks of nothing else. */
static bool invisible(const struct walk *w, CXCursor c)
{
	struct kids k;
	bool all = true;
	unsigned int i;

	c = ast_bare(c);
	if (clang_getCursorKind(c) == CXCursor_CallExpr)
		return named(c, &w->o->ignored) || named(c, &w->o->faults);
	if (clang_getCursorKind(c) != CXCursor_CompoundStmt)
		return false;
	k = kids_of(c);
	for (i = 0; i < k.n; i++)
		all = all && invisible(w, k.v[i]);
	kids_free(&k);
	return all;
}

/* --- expressions --------------------------------------------------------------------------- */

static const struct {
	const char *op, *kind, *to[2];
} operators[] = {
	{ "<", "comparison", { "<=", ">=" } },	  { "<=", "comparison", { "<", ">" } },
	{ ">", "comparison", { ">=", "<=" } },	  { ">=", "comparison", { ">", "<" } },
	{ "==", "comparison", { "!=", NULL } },	  { "!=", "comparison", { "==", NULL } },
	{ "+", "arithmetic", { "-", NULL } },	  { "-", "arithmetic", { "+", NULL } },
	{ "*", "arithmetic", { "/", NULL } },	  { "/", "arithmetic", { "*", NULL } },
	{ "%", "arithmetic", { "/", NULL } },	  { "&", "mask", { "|", NULL } },
	{ "|", "mask", { "&", NULL } },		  { "^", "mask", { "|", NULL } },
	{ "<<", "arithmetic", { ">>", NULL } },	  { ">>", "arithmetic", { "<<", NULL } },
	{ "&&", "logic", { "||", NULL } },	  { "||", "logic", { "&&", NULL } },
	{ "+=", "arithmetic", { "-=", NULL } },	  { "-=", "arithmetic", { "+=", NULL } },
	{ "*=", "arithmetic", { "/=", NULL } },	  { "/=", "arithmetic", { "*=", NULL } },
	{ "%=", "arithmetic", { "/=", NULL } },	  { "|=", "mask", { "&=", NULL } },
	{ "&=", "mask", { "|=", NULL } },	  { "^=", "mask", { "|=", NULL } },
	{ "<<=", "arithmetic", { ">>=", NULL } }, { ">>=", "arithmetic", { "<<=", NULL } },
};

static void walk_binary(struct walk *w, CXCursor c, bool stmt)
{
	const struct span at = ast_span(w->a, c);
	struct kids k = kids_of(c);
	char op[4], *l, *r;
	bool logic, constant;
	size_t i, j;

	if (k.n != 2) {
		kids_free(&k);
		return;
	}
	ast_operator(w->a, k.v[0], k.v[1], op);
	logic = strcmp(op, "&&") == 0 || strcmp(op, "||") == 0;
	constant = fold(w, k.v[0], 0) != UNKNOWN || fold(w, k.v[1], 0) != UNKNOWN;
	l = ast_text(w->a, ast_span(w->a, k.v[0]));
	r = ast_text(w->a, ast_span(w->a, k.v[1]));
	for (i = 0; !constant && *op && i < sizeof(operators) / sizeof(operators[0]); i++) {
		if (strcmp(op, operators[i].op) != 0)
			continue;
		for (j = 0; j < 2 && operators[i].to[j]; j++)
			emit(w, at, operators[i].kind,
			     xasprintf("%s %s %s", l, operators[i].to[j], r));
	}
	if (logic && !constant) {
		emit_copy(w, at, "condition", l);
		emit_copy(w, at, "condition", r);
	}
	free(l);
	free(r);
	if (changes(w, c, &k, stmt))
		walk_target(w, k.v[0]);
	else
		walk(w, k.v[0], false);
	walk(w, k.v[1], false);
	kids_free(&k);
}

static void walk_unary(struct walk *w, CXCursor c, bool stmt)
{
	const struct span at = ast_span(w->a, c);
	struct kids k = kids_of(c);
	char *text = ast_text(w->a, at), *inner;

	if (k.n == 1 && at.n) {
		const size_t n = strlen(text);

		inner = ast_text(w->a, ast_span(w->a, k.v[0]));
		if (strncmp(text, "++", 2) == 0)
			emit(w, at, "arithmetic", xasprintf("--%s", inner));
		else if (strncmp(text, "--", 2) == 0)
			emit(w, at, "arithmetic", xasprintf("++%s", inner));
		else if (n > 2 && strcmp(text + n - 2, "++") == 0)
			emit(w, at, "arithmetic", xasprintf("%s--", inner));
		else if (n > 2 && strcmp(text + n - 2, "--") == 0)
			emit(w, at, "arithmetic", xasprintf("%s++", inner));
		else if (strchr("!-~", text[0]) && strcmp(text + 1, inner) == 0)
			emit_copy(w, at, text[0] == '!' ? "condition" : "arithmetic", inner);
		free(inner);
		if (changes(w, c, &k, stmt))
			walk_target(w, k.v[0]);
		else
			walk(w, k.v[0], false);
	}
	free(text);
	kids_free(&k);
}

/* A number, or a name that stands for one. */
static void walk_constant(struct walk *w, CXCursor c)
{
	const struct span at = ast_span(w->a, c);
	char *text = ast_text(w->a, at);

	if (isdigit((unsigned char)text[0])) {
		const bool zero = strtoull(text, NULL, 0) == 0;

		emit(w, at, "constant", xasprintf("(%s + 1)", text));
		if (!zero)
			emit(w, at, "constant", xasprintf("(%s - 1)", text));
		if (!zero && strncmp(text, "0x", 2) == 0)
			emit(w, at, "mask", xasprintf("(%s << 1)", text));
	} else if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) {
		emit_copy(w, at, "constant", text[0] == 't' ? "false" : "true");
	} else if (strncmp(text, "__ATOMIC_", 9) == 0) {
		if (strcmp(text, "__ATOMIC_RELAXED") != 0)
			emit_copy(w, at, "barrier", "__ATOMIC_RELAXED");
	} else if (text[0] &&
		   text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz_0123456789")] == '\0' &&
		   strcmp(text, "NULL") != 0) {
		emit(w, at, "constant", xasprintf("(%s + 1)", text));
	}
	free(text);
}

static bool same_type(CXCursor a, CXCursor b)
{
	CXString s = clang_getTypeSpelling(
		clang_getCanonicalType(clang_getCursorType(ast_bare(a))));
	CXString t = clang_getTypeSpelling(
		clang_getCanonicalType(clang_getCursorType(ast_bare(b))));
	const char *p = clang_getCString(s), *q = clang_getCString(t);
	bool same;

	if (strncmp(p, "const ", 6) == 0)
		p += 6;
	if (strncmp(q, "const ", 6) == 0)
		q += 6;
	same = strcmp(p, q) == 0;
	clang_disposeString(s);
	clang_disposeString(t);
	return same;
}

static void swap_arguments(struct walk *w, CXCursor call, unsigned int i, unsigned int j)
{
	const struct span at = ast_span(w->a, call);
	const struct span x = ast_span(w->a, clang_Cursor_getArgument(call, i));
	const struct span y = ast_span(w->a, clang_Cursor_getArgument(call, j));
	char *a, *b, *before, *between, *after;

	if (!at.n || !x.n || !y.n || x.off < at.off || x.off + x.n > y.off ||
	    y.off + y.n > at.off + at.n)
		return;
	a = ast_text(w->a, x);
	b = ast_text(w->a, y);
	if (strcmp(a, b) != 0) {
		before = ast_text(w->a, (struct span){ .off = at.off, .n = x.off - at.off });
		between = ast_text(w->a,
				   (struct span){ .off = x.off + x.n, .n = y.off - x.off - x.n });
		after = ast_text(w->a, (struct span){ .off = y.off + y.n,
						      .n = at.off + at.n - y.off - y.n });
		emit(w, at, "arguments", xasprintf("%s%s%s%s%s", before, b, between, a, after));
		free(before);
		free(between);
		free(after);
	}
	free(a);
	free(b);
}

static void walk_call(struct walk *w, CXCursor c)
{
	const int n = clang_Cursor_getNumArguments(c);
	struct kids k = kids_of(c);
	unsigned int i, j;

	for (i = 0; n > 0 && i < (unsigned int)n; i++)
		for (j = i + 1; j < (unsigned int)n; j++)
			if (same_type(clang_Cursor_getArgument(c, i),
				      clang_Cursor_getArgument(c, j)))
				swap_arguments(w, c, i, j);
	for (i = 0; i < k.n; i++)
		walk(w, k.v[i], false);
	kids_free(&k);
}

static void negate(struct walk *w, CXCursor cond)
{
	const enum CXCursorKind kind = clang_getCursorKind(ast_bare(cond));
	const struct span at = ast_span(w->a, cond);
	struct kids k = kids_of(ast_bare(cond));
	char op[4] = "", *text;

	/* Those have negations of their own. */
	if (kind == CXCursor_BinaryOperator && k.n == 2)
		ast_operator(w->a, k.v[0], k.v[1], op);
	if ((op[0] == '\0' || strcmp(op, "&&") == 0 || strcmp(op, "||") == 0 ||
	     strcmp(op, "&") == 0) &&
	    !(kind == CXCursor_UnaryOperator && first_char(w, ast_bare(cond)) == '!')) {
		text = ast_text(w->a, at);
		emit(w, at, "condition", xasprintf("!(%s)", text));
		free(text);
	}
	kids_free(&k);
}

static void walk_conditional(struct walk *w, CXCursor c)
{
	struct kids k = kids_of(c);
	int v;

	if (k.n == 3) {
		v = fold(w, k.v[0], 0);
		if (v == UNKNOWN) {
			negate(w, k.v[0]);
			walk(w, k.v[0], false);
		}
		if (v != 0)
			walk(w, k.v[1], false);
		if (v != 1)
			walk(w, k.v[2], false);
	}
	kids_free(&k);
}

/* --- statements ---------------------------------------------------------------------------- */

static const char *drop_kind(CXCursor c)
{
	CXString s = clang_getCursorSpelling(ast_bare(c));
	const char *name = clang_getCString(s);
	const char *kind = strstr(name, "mutex")  ? "lock" :
			   strstr(name, "atomic") ? "barrier" :
						    "dropped";

	clang_disposeString(s);
	return kind;
}

static void drop(struct walk *w, CXCursor c)
{
	emit_copy(w, ast_span(w->a, c), drop_kind(c), "(void)0");
}

/* What a condition decides may be nobody's matter; what it calls is done all the same. */
static void walk_calls(struct walk *w, CXCursor c)
{
	struct kids k = kids_of(c);
	unsigned int i;

	if (clang_getCursorKind(c) == CXCursor_CallExpr)
		walk(w, c, false);
	else
		for (i = 0; i < k.n; i++)
			walk_calls(w, k.v[i]);
	kids_free(&k);
}

static void walk_if(struct walk *w, CXCursor c)
{
	struct kids k = kids_of(c);
	int v = k.n ? fold(w, k.v[0], 0) : UNKNOWN;

	if (k.n == 2 && v == UNKNOWN && invisible(w, k.v[1])) {
		v = 0;
		walk_calls(w, k.v[0]);
	}
	if (k.n >= 2) {
		if (v == UNKNOWN) {
			negate(w, k.v[0]);
			emit_copy(w, ast_span(w->a, k.v[0]), "condition", "0");
			walk(w, k.v[0], false);
		}
		if (v != 0)
			walk(w, k.v[1], true);
		if (v != 1 && k.n > 2)
			walk(w, k.v[2], true);
	}
	kids_free(&k);
}

static void walk_return(struct walk *w, CXCursor c, bool stmt)
{
	const enum CXTypeKind type = clang_getCanonicalType(w->returns).kind;
	struct kids k = kids_of(c);
	struct span at;
	char *text;

	if (k.n == 0 && stmt)
		drop(w, c);
	if (k.n == 1 && fold(w, k.v[0], 0) == UNKNOWN) {
		at = ast_span(w->a, k.v[0]);
		text = ast_text(w->a, at);
		if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0) {
			if (type == CXType_Bool)
				negate(w, k.v[0]);
			else if (type == CXType_Pointer)
				emit_copy(w, at, "return", "(void *)0");
			else if (strcmp(text, "0") == 0)
				emit_copy(w, at, "return", "-1");
			else
				emit_copy(w, at, "return", "0");
		}
		if (strcmp(text, "0") != 0)
			walk(w, k.v[0], false);
		free(text);
	}
	kids_free(&k);
}

static bool is_labelled(CXCursor c)
{
	const enum CXCursorKind kind = clang_getCursorKind(c);

	return kind == CXCursor_CaseStmt || kind == CXCursor_DefaultStmt ||
	       kind == CXCursor_LabelStmt;
}

/* On a healthy host nothing goes on behind this statement. */
static bool ends(const struct walk *w, CXCursor c)
{
	const enum CXCursorKind kind = clang_getCursorKind(c);
	struct kids k = kids_of(c);
	bool yes = false;
	unsigned int i;
	int v;

	switch (kind) {
	case CXCursor_ReturnStmt:
	case CXCursor_BreakStmt:
	case CXCursor_ContinueStmt:
	case CXCursor_GotoStmt:
		yes = true;
		break;
	case CXCursor_CompoundStmt:
		for (i = 0; i < k.n; i++)
			yes = (yes && !is_labelled(k.v[i])) || ends(w, k.v[i]);
		break;
	case CXCursor_CaseStmt:
	case CXCursor_DefaultStmt:
	case CXCursor_LabelStmt:
		yes = k.n && ends(w, k.v[k.n - 1]);
		break;
	case CXCursor_IfStmt:
		v = k.n >= 2 ? fold(w, k.v[0], 0) : UNKNOWN;
		yes = (v == 0 || (k.n >= 2 && ends(w, k.v[1]))) &&
		      (v == 1 || (k.n > 2 && ends(w, k.v[2])));
		break;
	default:
		break;
	}
	kids_free(&k);
	return yes;
}

static void walk_all(struct walk *w, CXCursor c, unsigned int from, bool stmt)
{
	struct kids k = kids_of(c);
	bool ended = false;
	unsigned int i;

	for (i = from; i < k.n; i++) {
		ended = ended && !is_labelled(k.v[i]);
		if (!ended)
			walk(w, k.v[i], stmt);
		ended = stmt && (ended || ends(w, k.v[i]));
	}
	kids_free(&k);
}

/* Which child is the condition of a loop that only a fault begins; -1: it is no such loop. */
static int false_condition(const struct walk *w, CXCursor c, const struct kids *k)
{
	const enum CXCursorKind kind = clang_getCursorKind(c);
	unsigned int i;

	if (kind != CXCursor_ForStmt && kind != CXCursor_WhileStmt)
		return -1;
	for (i = 0; i + 1 < k->n; i++)
		if (clang_isExpression(clang_getCursorKind(k->v[i])) && fold(w, k->v[i], 0) == 0)
			return (int)i;
	return -1;
}

/* for, while, do, switch: expressions, and one body. */
static void walk_loop(struct walk *w, CXCursor c, bool body_first)
{
	struct kids k = kids_of(c);
	const int never = false_condition(w, c, &k);
	unsigned int i;

	if (never < 0) {
		for (i = 0; i < k.n; i++)
			walk(w, k.v[i], i == (body_first ? 0 : k.n - 1));
	} else if (never > 0 && clang_isExpression(clang_getCursorKind(k.v[0]))) {
		walk(w, k.v[0], true);
	}
	kids_free(&k);
}

static bool unread_local(const struct walk *w, CXCursor decl)
{
	char *name = w->o->own && is_local(decl) ? name_of(decl) : NULL;
	const bool yes = name && !strv_has(&w->o->read, name);

	free(name);
	return yes;
}

static bool is_call(CXCursor c)
{
	return clang_getCursorKind(ast_bare(c)) == CXCursor_CallExpr;
}

static void walk_declarations(struct walk *w, CXCursor c)
{
	struct kids k = kids_of(c);
	unsigned int i;

	for (i = 0; i < k.n; i++) {
		CXCursor init;

		if (clang_getCursorKind(k.v[i]) != CXCursor_VarDecl)
			continue;
		init = clang_Cursor_getVarDeclInitializer(k.v[i]);
		if (clang_Cursor_isNull(init) || fold(w, init, 0) != UNKNOWN)
			continue;
		if (!unread_local(w, k.v[i]) || is_call(init))
			walk(w, init, false);
	}
	kids_free(&k);
}

static void use(struct walk *w, CXCursor c)
{
	CXString s = clang_getCursorSpelling(c);

	if (!strv_has(&w->used, clang_getCString(s)))
		strv_add(&w->used, clang_getCString(s));
	clang_disposeString(s);
}

static void walk_reference(struct walk *w, CXCursor c)
{
	const CXCursor to = clang_getCursorReferenced(c);

	use(w, to);
	note_read(w, c);
	if (clang_getCursorKind(to) == CXCursor_EnumConstantDecl)
		walk_constant(w, c);
}

/* What is written is not read by that; the index of an array is, and a pointer on the way. */
static void walk_target(struct walk *w, CXCursor c)
{
	struct kids k;

	c = ast_bare(c);
	if (clang_getCursorKind(c) == CXCursor_DeclRefExpr) {
		use(w, clang_getCursorReferenced(c));
		return;
	}
	if (clang_getCursorKind(c) != CXCursor_MemberRefExpr &&
	    clang_getCursorKind(c) != CXCursor_ArraySubscriptExpr) {
		walk(w, c, false);
		return;
	}
	k = kids_of(c);
	if (k.n && is_pointer_variable(k.v[0]))
		walk(w, k.v[0], false);
	else if (k.n)
		walk_target(w, k.v[0]);
	if (k.n > 1)
		walk(w, k.v[1], false);
	kids_free(&k);
}

static bool changes(const struct walk *w, CXCursor c, const struct kids *k, bool stmt)
{
	const struct span at = ast_span(w->a, c);
	char op[4];

	switch (clang_getCursorKind(c)) {
	case CXCursor_BinaryOperator:
		return k->n == 2 && strcmp(ast_operator(w->a, k->v[0], k->v[1], op), "=") == 0;
	case CXCursor_CompoundAssignOperator:
		return stmt && k->n == 2;
	case CXCursor_UnaryOperator:
		if (!stmt || k->n != 1 || at.n < 3)
			return false;
		return strncmp(w->a->text + at.off, "++", 2) == 0 ||
		       strncmp(w->a->text + at.off, "--", 2) == 0 ||
		       strncmp(w->a->text + at.off + at.n - 2, "++", 2) == 0 ||
		       strncmp(w->a->text + at.off + at.n - 2, "--", 2) == 0;
	default:
		return false;
	}
}

/* A change of what only faults read: of it only calls and further assignments matter. True: it is one. */
static bool walk_unread(struct walk *w, CXCursor c, bool stmt)
{
	struct kids k = kids_of(c), inner;
	const bool yes = changes(w, c, &k, stmt) && unread(w, k.v[0]);
	CXCursor value;

	if (yes && k.n == 2) {
		value = ast_bare(k.v[1]);
		inner = kids_of(value);
		if (clang_getCursorKind(value) == CXCursor_CallExpr ||
		    changes(w, value, &inner, false))
			walk(w, value, false);
		kids_free(&inner);
	}
	kids_free(&k);
	return yes;
}

/* stmt: nobody uses its value, so that it can be dropped. */
static void walk(struct walk *w, CXCursor c, bool stmt)
{
	const enum CXCursorKind kind = clang_getCursorKind(c);

	switch (kind) {
	case CXCursor_CompoundStmt:
	case CXCursor_DefaultStmt:
	case CXCursor_LabelStmt:
		walk_all(w, c, 0, true);
		return;
	case CXCursor_CaseStmt:
		walk_all(w, c, 1, true);
		return;
	case CXCursor_IfStmt:
		walk_if(w, c);
		return;
	case CXCursor_ForStmt:
	case CXCursor_WhileStmt:
	case CXCursor_SwitchStmt:
		walk_loop(w, c, false);
		return;
	case CXCursor_DoStmt:
		walk_loop(w, c, true);
		return;
	case CXCursor_DeclStmt:
		walk_declarations(w, c);
		return;
	case CXCursor_ReturnStmt:
		walk_return(w, c, stmt);
		return;
	case CXCursor_BreakStmt:
	case CXCursor_ContinueStmt:
	case CXCursor_GotoStmt:
		if (stmt)
			drop(w, c);
		return;
	default:
		break;
	}
	if (!clang_isExpression(kind) || invisible(w, c) || fold(w, c, 0) != UNKNOWN ||
	    walk_unread(w, c, stmt))
		return;
	if (stmt)
		drop(w, c);
	switch (kind) {
	case CXCursor_BinaryOperator:
	case CXCursor_CompoundAssignOperator:
		walk_binary(w, c, stmt);
		break;
	case CXCursor_UnaryOperator:
		walk_unary(w, c, stmt);
		break;
	case CXCursor_ConditionalOperator:
		walk_conditional(w, c);
		break;
	case CXCursor_CallExpr:
		walk_call(w, c);
		break;
	case CXCursor_IntegerLiteral:
		walk_constant(w, c);
		break;
	case CXCursor_DeclRefExpr:
		walk_reference(w, c);
		break;
	case CXCursor_MemberRefExpr:
		note_read(w, c);
		walk_all(w, c, 0, false);
		break;
	case CXCursor_UnaryExpr: /* sizeof */
	case CXCursor_StringLiteral:
	case CXCursor_CharacterLiteral:
	case CXCursor_StmtExpr:
		break;
	default:
		walk_all(w, c, 0, false);
		break;
	}
}

/* --- the file ------------------------------------------------------------------------------ */

static bool excepted(const struct walk *w, const char *name)
{
	char *full = xasprintf("%s:%s", w->a->path, name);
	const bool yes = strv_has(&w->o->except, full);

	free(full);
	return yes;
}

static void walk_function(struct walk *w, CXCursor c)
{
	struct kids k = kids_of(c);

	w->returns = clang_getCursorResultType(c);
	if (k.n && clang_getCursorKind(k.v[k.n - 1]) == CXCursor_CompoundStmt)
		walk(w, k.v[k.n - 1], true);
	kids_free(&k);
}

static void walk_enum(struct walk *w, CXCursor c)
{
	struct kids k = kids_of(c);
	unsigned int i;

	for (i = 0; i < k.n; i++) {
		CXString s = clang_getCursorSpelling(k.v[i]);

		w->function = clang_getCString(s);
		if (strv_has(&w->used, w->function))
			walk_all(w, k.v[i], 0, false);
		clang_disposeString(s);
	}
	kids_free(&k);
}

/* One declaration of the file, if it has mutants. */
static void walk_declaration(struct walk *w, CXCursor c)
{
	const enum CXCursorKind kind = clang_getCursorKind(c);
	CXString s = clang_getCursorSpelling(c);
	CXCursor init;

	w->function = clang_getCString(s);
	if (kind == CXCursor_EnumDecl) {
		walk_enum(w, c);
	} else if (!ast_span(w->a, c).n || (!w->read && excepted(w, w->function))) {
		/* another file's, or no subject */
	} else if (kind == CXCursor_FunctionDecl && clang_isCursorDefinition(c)) {
		if (clang_Cursor_getStorageClass(c) != CX_SC_Static ||
		    strv_has(&w->used, w->function))
			walk_function(w, c);
	} else if (kind == CXCursor_VarDecl) {
		init = clang_Cursor_getVarDeclInitializer(c);
		if (!clang_Cursor_isNull(init))
			walk(w, init, false);
	}
	clang_disposeString(s);
}

/* Until no other function turns out to be called. */
static void walk_file(struct walk *w, const struct kids *k)
{
	size_t before;
	unsigned int i;

	do {
		before = w->used.n;
		for (i = 0; i < k->n; i++)
			walk_declaration(w, k->v[i]);
	} while (w->used.n != before);
}

void list_reads(const struct ast *a, struct list_options *o)
{
	struct walk w = { .a = a, .o = o, .read = &o->read };
	struct kids k = kids_of(clang_getTranslationUnitCursor(a->unit));

	walk_file(&w, &k);
	strv_free(&w.used);
	kids_free(&k);
}

void list_mutants(const struct ast *a, const struct list_options *o, struct mutants *m)
{
	struct walk w = { .a = a, .o = o };
	struct kids k = kids_of(clang_getTranslationUnitCursor(a->unit));
	unsigned int i;

	walk_file(&w, &k);
	w.out = m;
	w.first = m->n;
	for (i = 0; i < k.n; i++)
		walk_declaration(&w, k.v[i]);
	strv_free(&w.used);
	kids_free(&k);
}

void mutants_free(struct mutants *m)
{
	size_t i;

	for (i = 0; i < m->n; i++) {
		free(m->v[i].function);
		free(m->v[i].from);
		free(m->v[i].to);
		free(m->v[i].source);
	}
	free(m->v);
	memset(m, 0, sizeof(*m));
}
