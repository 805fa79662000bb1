/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/ref/plugin/plugin.h"

#include <string.h>

static int complain(const char *what, const char *arg)
{
	fprintf(stderr, "%s: %s: %s\n", fault_component, arg, what);
	return -1;
}

int plugin_one_fault(int argc, char **argv)
{
	const char *file = NULL;
	int i, ret, one = -1;
	unsigned int f;

	for (i = 0; i < argc; i++) {
		argv[i][strcspn(argv[i], " ")] = '\0'; /* recipes join several with blanks */
		if (strncmp(argv[i], "injected=", 9) == 0)
			file = argv[i] + 9;
		else if (strncmp(argv[i], "fault=", 6) != 0)
			return complain("the argument is not known", argv[i]);
		else if (fault_enable(argv[i] + 6))
			return complain("there is no such fault", argv[i]);
	}
	for (f = 0; f < fault_count; f++) {
		if (!fault_on(f))
			continue;
		if (one >= 0)
			return complain("one fault at a time", fault_rows[f].id);
		one = (int)f;
	}
	if (one < 0)
		return complain("it is missing", "fault=ID");
	ret = fault_begin(file);
	if (ret)
		return complain(strerror(-ret), file);
	return one;
}
