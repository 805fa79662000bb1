# SPDX-License-Identifier: BSD-2-Clause
# awk -f ids.awk host/ref/PART/faults: makes the enumeration and the rows of a component's faults from its list.
# A line that is not five fields, an odd id and an id that is there twice are errors, which end the build.
BEGIN {
	FS = "\t"
	n = 0
}

function bad(why) {
	printf "%s:%d: %s\n", FILENAME, FNR, why > "/dev/stderr"
	failed = 1
}

function quoted(text) {
	gsub(/\\/, "\\\\", text)
	gsub(/"/, "\\\"", text)
	return "\"" text "\""
}

/^#/ || /^$/ { next }

{
	if (NF != 5)
		bad(NF " fields, not five: id, clause, tests, where, what")
	for (i = 1; i <= NF; i++)
		if ($i == "" || $i ~ /^ / || $i ~ / $/)
			bad("field " i " is empty, or begins or ends with a blank")
	if ($1 !~ /^[a-z][a-z0-9_]*(\.[a-z0-9_]+)*$/)
		bad("\"" $1 "\": an id has small letters, digits and _, with dots between")
	name = "F_" toupper($1)
	gsub(/\./, "_", name)
	if (name in seen)
		bad($1 ": line " seen[name] " has this id already")
	seen[name] = FNR
	names[n] = name
	rows[n++] = "{ " quoted($1) ", " quoted($5) " }"
}

END {
	if (failed || !n)
		exit 1
	printf "/* Made from %s by host/ref/fault/ids.awk. */\nenum fault_id {\n", FILENAME
	for (i = 0; i < n; i++)
		printf "\t%s,\n", names[i]
	print "\tF_COUNT\n};\n#define FAULT_ROWS \\"
	for (i = 0; i < n; i++)
		printf "\t%s%s\n", rows[i], i + 1 < n ? ", \\" : ""
}
