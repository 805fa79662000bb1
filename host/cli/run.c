/* SPDX-License-Identifier: BSD-2-Clause */
#include "host/cli/run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "drivers/virtio/vsock_config.h"
#include "host/cli/again.h"
#include "host/cli/boot.h"
#include "host/cli/dmesg.h"
#include "host/cli/fault_list.h"
#include "host/cli/output.h"
#include "host/cli/print.h"
#include "host/cli/proc.h"
#include "lib/glob.h"

#define PROBE_MS     10000
#define ASK_MS	     30000
#define VERSION_MS   5000
#define LOCK_MS	     100
#define UNNAMED	     "unnamed" /* the machine, or way to start, of a recipe that has one only */
#define FIRST_LINE_S 60
#define HOST_LOG_MAX (64u << 20)
#define APPEND_MAX                                                                                 \
	3500 /* of the 4096 bytes that a PVH command line may have; the VMM adds its own */
#define REBOOTS	     5
#define CMDLINE_MAX  8000 /* what the payload reads from fw_cfg */
#define SOCKET_SPACE 40	  /* of the 108 bytes of a socket's path, for its name */

struct run {
	const struct run_options *o;
	struct recipe *recipe;
	struct vars vars;
	struct image_tests tests;
	struct strv options;  /* keys of the payload's command line */
	struct strv selected; /* ids */
	char *list;	      /* tests=, or NULL: what the payload runs by default */
	char *wanted;	      /* the same of all shards together */
	char *require;	      /* globs of tests that must not be skipped, or NULL */
	struct deviations known;
	const char *machine, *boot, *accel;
	char *own_boot; /* or NULL: where boot is the machine's choice */
	char *dir, *tmp, *elf;
	int lock, serial, commands;
	struct report report;
	struct report *current; /* of the boot that is going on */
	struct printer out;
	bool env_shown;
	struct strv boots;   /* "1: what happened" */
	unsigned int number; /* of boots so far */
	enum boot_end end;   /* how the last one ended */
	uint64_t started, deadline;
};

void run_options_init(struct run_options *o)
{
	memset(o, 0, sizeof(*o));
	o->host = "ref";
	o->cpus = 2;
	o->repeat = 1;
	o->reboots = -1;
	o->timeout = 300;
	o->grace = 15;
	o->silence = 30;
}

void run_options_free(struct run_options *o)
{
	strv_free(&o->tests);
	strv_free(&o->require);
	strv_free(&o->append);
	strv_free(&o->faults);
	strv_free(&o->set);
	strv_free(&o->vmm_args);
}

static char *join(const struct strv *l, const char *separator)
{
	struct sbuf b = { 0 };
	size_t i;

	for (i = 0; i < l->n; i++)
		sbuf_addf(&b, "%s%s", i ? separator : "", l->v[i]);
	return sbuf_steal(&b);
}

/* --- what the recipe is asked for -------------------------------------------------------- */

/* value must be one of the recipe's [type NAME] sections. */
static bool check_choice(const struct run *r, const char *type, const char *value)
{
	struct strv names = { 0 };
	size_t i;
	bool ok;

	recipe_names(r->recipe, type, &names);
	/* A recipe of one machine need not name it; then there is nothing to choose. */
	ok = strv_has(&names, value) || (!names.n && strcmp(value, UNNAMED) == 0);
	if (!ok && !names.n) {
		fprintf(stderr, "assay: host %s has no [%s NAME] sections to choose \"%s\" from\n",
			r->recipe->name, type, value);
	} else if (!ok) {
		fprintf(stderr, "assay: host %s has no %s \"%s\"", r->recipe->name, type, value);
		print_suggestions(stderr, value, (const char *const *)names.v, names.n);
		fputs("; it has:", stderr);
		for (i = 0; i < names.n; i++)
			fprintf(stderr, " %s", names.v[i]);
		fputc('\n', stderr);
	}
	strv_free(&names);
	return ok;
}

/* The recipe's variable BOOTS lists what the machine can start by, the usual way first, where not all do. */
static bool check_boot(struct run *r)
{
	const char *boots = vars_get(&r->vars, "BOOTS"), *p = boots;
	const size_t n = strlen(r->boot);

	for (; p && *p; p += strcspn(p, " "), p += strspn(p, " "))
		if (strncmp(p, r->boot, n) == 0 && (p[n] == ' ' || !p[n]))
			return true;
	if (!boots)
		return true;
	if (!r->o->boot) {
		r->boot = r->own_boot = xstrndup(boots, strcspn(boots, " "));
		vars_set(&r->vars.run, "BOOT", r->boot);
		return true;
	}
	fprintf(stderr, "assay: machine %s of host %s does not start by \"%s\"; it starts by: %s\n",
		r->machine, r->recipe->name, r->boot, boots);
	return false;
}

/* The first of the recipe's sections of this type, where it has no default; or UNNAMED. Valid as long as the recipe. */
static const char *first_section(const struct run *r, const char *type, const char *usual)
{
	const char *first = UNNAMED;
	size_t i;

	for (i = r->recipe->n; i-- > 0;) {
		if (strcmp(r->recipe->sections[i].type, type) != 0)
			continue;
		first = r->recipe->sections[i].name;
		if (strcmp(first, usual) == 0)
			return usual;
	}
	return first;
}

static const char *choose(const char *option, const struct run *r, const char *key,
			  const char *dflt)
{
	const char *own = recipe_get(r->recipe, "host", "", key);

	return option ? option : own ? own : dflt;
}

static unsigned int count_cids(const char *list)
{
	unsigned int n = *list != '\0';

	for (; *list; list++)
		n += *list == ',';
	return n;
}

/* Bytes of config space that the reference device's layout needs: QEMU wants to be told. */
static unsigned int config_size(const char *layout, const char *cids, const char *host_cids)
{
	const unsigned int n = count_cids(cids), m = count_cids(host_cids);

	if (strcmp(layout, "multi") == 0)
		return 4 + 8 * n;
	if (strcmp(layout, "multi-host") == 0)
		return 8 + 8 * (n + m);
	if (strcmp(layout, "indexed") == 0)
		return VSOCK_INDEXED_SIZE;
	return 8;
}

static void set_config_size(struct run *r)
{
	const char *layout = vars_get(&r->vars, "LAYOUT"), *cids = vars_get(&r->vars, "CIDS");
	const char *host_cids = vars_get(&r->vars, "HOST_CIDS");
	char text[16];

	if (!layout || !cids)
		return;
	snprintf(text, sizeof(text), "%u", config_size(layout, cids, host_cids ? host_cids : ""));
	vars_set(&r->vars.run, "CONFIG_SIZE", text);
}

/* What a program says when it is asked, to be freed. NULL: it failed; *err has why, in one line. */
static char *ask(char *const argv[], unsigned int ms, struct sbuf *err)
{
	struct sbuf out = { 0 }, said = { 0 };
	const int ret = proc_output(argv, now_ms() + ms, &out, &said);

	if (ret == -ETIMEDOUT)
		sbuf_addf(err, "%s did not end within %u s", argv[0], ms / 1000);
	else if (ret < 0)
		sbuf_addf(err, "%s: %s", argv[0], strerror(-ret));
	else if (ret)
		sbuf_addf(err, "%s exited with status %d%s%.*s", argv[0], ret, said.len ? ": " : "",
			  said.s ? (int)strcspn(said.s, "\n") : 0, said.s ? said.s : "");
	sbuf_free(&said);
	if (!ret)
		return sbuf_steal(&out);
	sbuf_free(&out);
	return NULL;
}

/* The output of a command of the recipe. NULL: it failed, and *why says how. */
static char *output_of(const struct run *r, const char *template, struct sbuf *why)
{
	struct strv argv = { 0 };
	char *text = NULL;

	if (!vars_words(&r->vars, template, &argv, why))
		why->s[strcspn(why->s, "\n")] = '\0';
	else if (!argv.n)
		sbuf_add(why, "an empty command");
	else
		text = ask(argv.v, ASK_MS, why);
	strv_free(&argv);
	return text;
}

/* ${FAULTS_NAME_ARGS} of [faults NAME]: "args" for each --fault that its list has. */
static void set_fault_args(struct run *r, const char *name, const struct fault_list *list)
{
	const char *args = recipe_get(r->recipe, "faults", name, "args"), *at, *a;
	char *var = xasprintf("FAULTS%s%s_ARGS", *name ? "_" : "", name);
	struct sbuf words = { 0 };
	size_t i, k;

	for (i = 0; i < list->n; i++) {
		if (strcmp(list->v[i].section, name) != 0 ||
		    !strv_has(&r->o->faults, list->v[i].id))
			continue;
		for (a = args ? args : "--fault %s"; (at = strstr(a, "%s")); a = at + 2)
			sbuf_addf(&words, "%.*s%s", (int)(at - a), a, list->v[i].id);
		sbuf_addf(&words, "%s ", a);
	}
	for (k = 0; var[k]; k++)
		if (var[k] >= 'a' && var[k] <= 'z')
			var[k] = (char)(var[k] - 'a' + 'A');
	vars_set(&r->vars.run, var, words.s ? words.s : "");
	sbuf_free(&words);
	free(var);
}

/* Each --fault must be on a list of the recipe. */
static bool check_faults(const struct run *r, const struct fault_list *list)
{
	struct strv ids = { 0 };
	bool ok = true;
	size_t i;

	for (i = 0; i < list->n; i++)
		strv_add(&ids, list->v[i].id);
	for (i = 0; ok && i < r->o->faults.n; i++) {
		const char *id = r->o->faults.v[i];

		ok = strv_has(&ids, id);
		if (ok)
			continue;
		fprintf(stderr, "assay: host %s has no fault \"%s\"", r->recipe->name, id);
		print_suggestions(stderr, id, (const char *const *)ids.v, ids.n);
		fputs("; `assay list --faults` names them all\n", stderr);
	}
	strv_free(&ids);
	return ok;
}

static bool place_faults(struct run *r)
{
	struct strv sections = { 0 };
	struct fault_list list = { 0 };
	struct sbuf err = { 0 };
	size_t i;
	bool ok;

	recipe_names(r->recipe, "faults", &sections);
	ok = sections.n || !r->o->faults.n;
	if (!ok)
		fprintf(stderr, "assay: host %s injects no faults\n", r->recipe->name);
	/* A host whose lists are missing still runs without faults. */
	if (ok && r->o->faults.n) {
		ok = fault_list_read(r->recipe, &list, &err);
		if (!ok)
			fprintf(stderr, "assay: %s", err.s);
	}
	ok = ok && check_faults(r, &list);
	for (i = 0; ok && i < sections.n; i++)
		set_fault_args(r, sections.v[i], &list);
	fault_list_free(&list);
	strv_free(&sections);
	sbuf_free(&err);
	return ok;
}

/* --- what must be there ------------------------------------------------------------------ */

static bool exists(const char *word)
{
	const char *path = getenv("PATH");
	char *copy, *next, *dir;
	bool found = false;

	errno = 0;
	if (strchr(word, '/'))
		return access(word, R_OK) == 0;
	next = copy = xstrdup(path ? path : "/usr/bin:/bin");
	while (!found && (dir = strsep(&next, ":"))) {
		char *file = xasprintf("%s/%s", dir, word);

		found = access(file, X_OK) == 0;
		free(file);
	}
	free(copy);
	return found;
}

/* The first need that is not met, to be freed; NULL: all are. */
static char *missing(const struct run *r)
{
	const char *needs = recipe_get(r->recipe, "host", "", "needs");
	struct strv words = { 0 };
	struct sbuf err = { 0 };
	char *what = NULL;
	size_t i;

	if (needs && !vars_words(&r->vars, needs, &words, &err))
		what = xstrndup(err.s, strcspn(err.s, "\n"));
	for (i = 0; i < words.n && !what; i++)
		if (!exists(words.v[i]))
			what = errno == EACCES || errno == EPERM ?
				       xasprintf("%s may not be read by this user", words.v[i]) :
				       xasprintf("%s is missing", words.v[i]);
	sbuf_free(&err);
	strv_free(&words);
	return what;
}

/* scripts/setup --no-root WORDS..., within the time of the run; with *out its output goes there. */
static bool run_setup(const struct run *r, const struct strv *words, struct sbuf *out)
{
	char *script = source_dir() ? xasprintf("%s/scripts/setup", source_dir()) : NULL;
	struct strv argv = { 0 };
	size_t i;
	int ret;

	if (!script || access(script, X_OK) != 0) {
		free(script);
		return false;
	}
	strv_take(&argv, script);
	strv_add(&argv, "--no-root");
	for (i = 0; i < words->n; i++)
		strv_add(&argv, words->v[i]);
	fflush(stdout);
	ret = proc_output(argv.v, r->deadline, out, NULL);
	if (ret == -ETIMEDOUT)
		fprintf(stderr, "assay: %s did not end within the time of this run (--timeout)\n",
			script);
	strv_free(&argv);
	return ret == 0;
}

/* What set-up provides: from the file that the build made, or, in a release archive, as set-up finds it now. */
static void read_setup(struct run *r)
{
	char *path = xasprintf("%s/setup.env", program_dir()), *word = xstrdup("--print-env");
	const struct strv words = { .v = &word, .n = 1 };
	struct sbuf text = { 0 };

	strv_free(&r->vars.setup);
	if (access(path, R_OK) == 0)
		vars_read(&r->vars.setup, path);
	else if (run_setup(r, &words, &text))
		vars_parse(&r->vars.setup, text.s ? text.s : "");
	sbuf_free(&text);
	free(word);
	free(path);
}

static bool check_needs(struct run *r)
{
	const char *components = recipe_get(r->recipe, "host", "", "setup");
	const char *hint = recipe_get(r->recipe, "host", "", "hint");
	struct strv words = { 0 };
	struct sbuf err = { 0 };
	char *what = missing(r);

	if (what && components && vars_words(&r->vars, components, &words, &err) &&
	    run_setup(r, &words, NULL)) {
		free(what);
		read_setup(r);
		what = missing(r);
	}
	sbuf_free(&err);
	strv_free(&words);
	if (!what)
		return true;
	fprintf(stderr, "assay: host %s cannot start: %s\n", r->recipe->name, what);
	if (hint)
		fprintf(stderr, "assay: %s\n", hint);
	free(what);
	return false;
}

/* --- what only one run may use ----------------------------------------------------------- */

/* Binds an abstract socket, which the kernel removes with this process, however it ends. 1: another one has it. */
static int try_lock(int fd, const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	const int n = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "assay.%s", name);
	const socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);

	if ((size_t)n >= sizeof(a.sun_path) - 1)
		return -ENAMETOOLONG;
	if (bind(fd, (struct sockaddr *)&a, len) == 0)
		return 0;
	return errno == EADDRINUSE ? 1 : -errno;
}

/* [host] lock = NAME: runs of hosts with the same lock, which share a CID or ports, wait for each other. */
static bool take_lock(struct run *r)
{
	const char *name = recipe_get(r->recipe, "host", "", "lock");
	struct pollfd f = { .fd = signals_fd(), .events = POLLIN };
	bool told = false;
	int ret = 1;

	if (!name || !*name)
		return true;
	r->lock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (r->lock < 0)
		ret = -errno;
	while (ret == 1 && !signals_seen() && now_ms() < r->deadline) {
		ret = try_lock(r->lock, name);
		if (ret == 1 && !told)
			printer_note(&r->out, "waiting for another run that uses %s", name);
		told = told || ret == 1;
		if (ret == 1)
			poll(&f, 1, LOCK_MS);
	}
	if (ret < 0)
		fprintf(stderr, "assay: the lock %s: %s\n", name, strerror(-ret));
	else if (ret && signals_seen())
		fprintf(stderr, "assay: interrupted by signal %d\n", signals_seen());
	else if (ret)
		fprintf(stderr,
			"assay: another run used %s until the time of this one was over (--timeout)\n",
			name);
	return ret == 0;
}

/* --- folders and files ------------------------------------------------------------------- */

char *runs_dir(void)
{
	const char *own = getenv("ASSAY_RUNS");
	char *env = xasprintf("%s/setup.env", program_dir()),
	     *hosts = xasprintf("%s/host/hosts", program_dir()), *dir;
	const bool ours = access(env, R_OK) == 0 || access(hosts, R_OK) == 0;

	if (own && *own)
		dir = xstrdup(own);
	else if (ours && access(program_dir(), W_OK) == 0)
		dir = xasprintf("%s/runs", program_dir());
	else
		dir = xstrdup("build/runs");
	free(env);
	free(hosts);
	return dir;
}

static void point_latest(const char *runs, const char *name)
{
	char *latest = xasprintf("%s/latest", runs),
	     *tmp = xasprintf("%s/.latest.%d", runs, getpid());

	if (symlink(name, tmp) == 0 && rename(tmp, latest) != 0)
		unlink(tmp);
	free(tmp);
	free(latest);
}

static bool make_run_dir(struct run *r)
{
	const time_t now = time(NULL);
	char stamp[32], *runs = NULL, *name = NULL, *path;
	struct tm tm;
	unsigned int i;
	int ret;

	if (r->o->output) {
		r->dir = xstrdup(r->o->output);
		ret = mkdir_p(r->dir);
		goto out;
	}
	runs = runs_dir();
	ret = mkdir_p(runs);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
	for (i = 1; !ret && i < 1000; i++) {
		name = i == 1 ? xasprintf("%s-%s", stamp, r->recipe->name) :
				xasprintf("%s-%s-%u", stamp, r->recipe->name, i);
		r->dir = xasprintf("%s/%s", runs, name);
		if (mkdir(r->dir, 0777) == 0) {
			point_latest(runs, name);
			free(name);
			break;
		}
		ret = errno == EEXIST ? 0 : -errno;
		free(name);
		free(r->dir);
		r->dir = NULL;
	}
out:
	if (ret || !r->dir) {
		fprintf(stderr, "assay: the folder for this run cannot be made in %s: %s\n",
			r->dir ? r->dir : runs, strerror(-ret));
		fputs("assay: --output DIR or ASSAY_RUNS=DIR names another\n", stderr);
		free(runs);
		return false;
	}
	free(runs);
	/* VMMs may run elsewhere, and people paste the paths. */
	path = realpath(r->dir, NULL);
	if (path) {
		free(r->dir);
		r->dir = path;
	}
	return true;
}

static int open_in(const char *dir, const char *name)
{
	char *path = xasprintf("%s/%s", dir, name);
	const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	if (fd < 0)
		fprintf(stderr,
			"assay: %s: %s\nassay: --output DIR or ASSAY_RUNS=DIR names another place\n",
			path, strerror(errno));
	free(path);
	return fd;
}

static bool make_tmp_dir(struct run *r)
{
	const char *base = getenv("TMPDIR");

	if (!base || !*base || strlen(base) > 108 - SOCKET_SPACE)
		base = "/tmp"; /* sockets live there, and their paths must be short */
	r->tmp = xasprintf("%s/assay-XXXXXX", base);
	if (mkdtemp(r->tmp))
		return true;
	fprintf(stderr, "assay: %s: %s\n", r->tmp, strerror(errno));
	free(r->tmp);
	r->tmp = NULL;
	return false;
}

/* --- set-up ------------------------------------------------------------------------------ */

static bool has_suffix(const char *s, const char *suffix)
{
	const size_t n = strlen(s), k = strlen(suffix);

	return n >= k && strcmp(s + n - k, suffix) == 0;
}

static void set_path(struct run *r, const char *var, const char *name)
{
	char *path = xasprintf("%s/%s", program_dir(), name);

	vars_set(&r->vars.run, var, path);
	free(path);
}

/* As `dmesg --since` and `journalctl --since` read it: local time. */
static void set_started(struct run *r)
{
	const time_t now = time(NULL);
	char text[32];
	struct tm tm;

	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", localtime_r(&now, &tm));
	vars_set(&r->vars.run, "STARTED", text);
}

/* Scripts of the tree: where it is, or where it was installed. */
static void set_source(struct run *r)
{
	char *path = source_dir() ? realpath(source_dir(), NULL) :
				    xasprintf("%s/../share/assay", program_dir());

	vars_set(&r->vars.run, "SOURCE", path ? path : ".");
	free(path);
}

static void set_programs(struct run *r)
{
	const char *image = r->o->image;

	read_setup(r);
	vars_set(&r->vars.run, "BIN", program_dir());
	set_started(r);
	set_source(r);
	set_path(r, "ASSAY", "assay");
	set_path(r, "REFDEV", "assay-refdev");
	set_path(r, "REFKVM", "refkvm.so");
	set_path(r, "PAYLOAD_ELF", "assay.elf");
	set_path(r, "PAYLOAD_EFI", "assay.efi");
	set_path(r, "PAYLOAD_IMG", "assay.img");
	if (image)
		vars_set(&r->vars.run,
			 has_suffix(image, ".img") ? "PAYLOAD_IMG" :
			 has_suffix(image, ".efi") ? "PAYLOAD_EFI" :
						     "PAYLOAD_ELF",
			 image);
	r->elf = xstrdup(vars_get(&r->vars, "PAYLOAD_ELF"));
}

static void set_machine(struct run *r)
{
	const char *memory = choose(r->o->memory, r, "memory", "256M");
	struct sbuf b = { 0 };
	char cpus[16];
	size_t i;

	r->machine = choose(r->o->machine, r, "machine", first_section(r, "machine", "q35"));
	r->boot = choose(r->o->boot, r, "boot", first_section(r, "boot", "efi"));
	snprintf(cpus, sizeof(cpus), "%u", r->o->cpus);
	vars_set(&r->vars.run, "MACHINE", r->machine);
	vars_set(&r->vars.run, "BOOT", r->boot);
	vars_set(&r->vars.run, "SMP", cpus);
	vars_set(&r->vars.run, "MEM", memory);
	for (i = 0; i < r->o->vmm_args.n; i++) {
		sbuf_add(&b, i ? " " : "");
		sbuf_add_quoted(&b, r->o->vmm_args.v[i]);
	}
	vars_set(&r->vars.run, "VMM_ARGS", b.s ? b.s : "");
	sbuf_free(&b);
}

static void set_dirs(struct run *r, const char *run_dir)
{
	char *socket = xasprintf("%s/device.sock", r->tmp), *qmp = xasprintf("%s/qmp.sock", r->tmp);
	char *injected = xasprintf("%s/injected", run_dir);

	vars_set(&r->vars.run, "RUN_DIR", run_dir);
	vars_set(&r->vars.run, "TMP", r->tmp);
	vars_set(&r->vars.run, "SOCKET", socket);
	vars_set(&r->vars.run, "QMP", qmp);
	vars_set(&r->vars.run, "INJECTED", injected);
	free(injected);
	free(socket);
	free(qmp);
}

/* The payload's command line, and how a QEMU is given it. */
static bool set_cmdline(struct run *r, const char *text)
{
	struct sbuf args = { 0 }, option = { 0 };
	const size_t n = strlen(text);

	vars_set(&r->vars.run, "CMDLINE", text);
	if (n >= CMDLINE_MAX) {
		fprintf(stderr,
			"assay: the payload's command line would have %zu characters (at most %d)\n",
			n, CMDLINE_MAX);
		return false;
	}
	if (n && strcmp(r->boot, "pvh") == 0 && n < APPEND_MAX) {
		sbuf_add(&args, "-append ");
		sbuf_add_quoted(&args, text);
	} else if (n) {
		sbuf_add(&option, "name=opt/assay/cmdline,string=");
		for (; *text; text++)
			sbuf_addf(&option, "%c%s", *text, *text == ',' ? "," : "");
		sbuf_add(&args, "-fw_cfg ");
		sbuf_add_quoted(&args, option.s);
	}
	vars_set(&r->vars.run, "CMDLINE_ARGS", args.s ? args.s : "");
	sbuf_free(&args);
	sbuf_free(&option);
	return true;
}

static void add_word(struct sbuf *b, const char *key, const char *value)
{
	if (value && *value)
		sbuf_addf(b, "%s%s=%s", b->len ? " " : "", key, value);
}

/* How much longer than their own limits tests may take on this host. */
static unsigned int slow(const struct run *r)
{
	const char *own = recipe_get(r->recipe, "host", "", "slow");
	const int n = own ? atoi(own) : 1;

	return n > 1 ? (unsigned int)n : 1;
}

static unsigned int most_reboots(const struct run *r)
{
	const char *own = recipe_get(r->recipe, "host", "", "reboots");

	return r->o->reboots >= 0 ? (unsigned int)r->o->reboots :
	       own		  ? (unsigned int)atoi(own) :
				    REBOOTS;
}

/* last: the guest is not started once more, and goes on as well as it can. */
static bool make_cmdline(struct run *r, const char *list, const char *after, bool last)
{
	const char *own = vars_get(&r->vars, "GUEST_APPEND");
	struct sbuf b = { 0 }, err = { 0 };
	char number[32];
	bool ok = true;
	size_t i;

	if (own) {
		char *text = vars_string(&r->vars, own, &err);

		ok = text != NULL;
		if (!ok)
			fprintf(stderr, "assay: GUEST_APPEND: %s", err.s);
		sbuf_add(&b, ok ? text : "");
		free(text);
	}
	add_word(&b, "tests", list);
	add_word(&b, "shuffle", r->o->shuffle);
	if (r->o->repeat > 1) {
		snprintf(number, sizeof(number), "%u", r->o->repeat);
		add_word(&b, "repeat", number);
	}
	if (r->o->test_timeout > 0) {
		snprintf(number, sizeof(number), "%.0f", r->o->test_timeout);
		add_word(&b, "timeout", number);
	}
	if (slow(r) > 1) {
		snprintf(number, sizeof(number), "%u", slow(r));
		add_word(&b, "slow", number);
	}
	/* An older payload has no such option. */
	add_word(&b, "reboots", !last && strv_has(&r->options, "reboots") ? "1" : NULL);
	add_word(&b, "after", after);
	for (i = 0; i < r->o->append.n; i++)
		sbuf_addf(&b, "%s%s", b.len ? " " : "", r->o->append.v[i]);
	ok = ok && set_cmdline(r, b.s ? b.s : "");
	sbuf_free(&b);
	sbuf_free(&err);
	return ok;
}

/*
 * What the recipe says that its host offers, to be freed; NULL: nothing. It says so of the host as the recipe
 * starts it: with a fault, another variable or argument it is another one.
 */
static char *recipe_require(const struct run *r, bool *ok)
{
	const char *own = recipe_get(r->recipe, "host", "", "require");
	struct sbuf err = { 0 };
	char *text, *from, *to;

	if (!own || r->o->faults.n || r->o->set.n || r->o->append.n || r->o->vmm_args.n)
		return NULL;
	text = vars_string(&r->vars, own, &err);
	*ok = text != NULL;
	for (from = to = text; from && *from;
	     from++) /* lines of a recipe that go on are joined by blanks */
		if (*from != ' ')
			*to++ = *from;
	if (to)
		*to = '\0';
	if (!text)
		fprintf(stderr, "assay: [host] require: %s", err.s);
	else if (*text)
		check_patterns(&r->tests,
			       text); /* says what an older or newer payload does not have */
	sbuf_free(&err);
	if (text && *text)
		return text;
	free(text); /* "require =": nothing, though the recipe that this one extends has something */
	return NULL;
}

/* What the recipe and the options say that this host must offer. */
static bool set_require(struct run *r)
{
	bool ok = true;
	char *own = recipe_require(r, &ok);
	char *given = r->o->require.n ? join(&r->o->require, ",") : NULL;

	if (given)
		ok = check_patterns(&r->tests, given) && check_required(&r->selected, given) && ok;
	if (own && given)
		r->require = xasprintf("%s;%s", own, given);
	else if (own || given)
		r->require = xstrdup(own ? own : given);
	free(own);
	free(given);
	return ok;
}

static bool select_tests(struct run *r)
{
	const char *own = recipe_get(r->recipe, "host", "", "tests");
	const struct run_options *o = r->o;
	struct strv mine = { 0 };
	size_t i;

	if (o->tests.n)
		r->list = join(&o->tests, ",");
	else if (own)
		r->list = xstrdup(own);
	if (!check_patterns(&r->tests, r->list))
		return false;
	for (i = 0; i < r->tests.n; i++)
		if (selects(r->list, r->tests.v[i].id))
			strv_add(&r->selected, r->tests.v[i].id);
	r->wanted = xstrdup(r->list ? r->list : "all");
	if (!set_require(r))
		return false;
	if (o->shards > 1) {
		for (i = 0; i < r->selected.n; i++)
			if (shard_of(r->selected.v[i], o->shards) == o->shard)
				strv_add(&mine, r->selected.v[i]);
		strv_free(&r->selected);
		r->selected = mine;
		free(r->list);
		r->list = tests_list(&r->tests, &r->selected);
	}
	if (r->selected.n * o->repeat > REPORT_RESULTS_MAX) {
		fprintf(stderr,
			"assay: --repeat %u of %zu tests are more than the %u results that a report may have\n",
			o->repeat, r->selected.n, REPORT_RESULTS_MAX);
		return false;
	}
	if (r->selected.n)
		return true;
	if (o->shards > 1)
		fprintf(stderr, "assay: shard %u/%u has no test: there are fewer tests than that\n",
			o->shard, o->shards);
	else
		fputs("assay: no test is left to run\n", stderr);
	return false;
}

/* --- boots ------------------------------------------------------------------------------- */

static void on_event(void *arg, enum ktap_event event, const char *text)
{
	struct run *r = arg;
	struct report *rep = r->current;

	switch (event) {
	case KTAP_START:
		if (!r->env_shown)
			printer_env(&r->out, rep);
		r->env_shown = true;
		printer_start(&r->out, text);
		break;
	case KTAP_RESULT: {
		struct result shown = rep->results[rep->n - 1];

		/* A copy: the reader still checks the payload's totals against its own verdicts. */
		shown.reason = shown.reason ? xstrdup(shown.reason) : NULL;
		shown.diag = (struct strv){ 0 };
		for (size_t i = 0; i < rep->results[rep->n - 1].diag.n; i++)
			strv_add(&shown.diag, rep->results[rep->n - 1].diag.v[i]);
		require_result(r->require, &shown);
		deviations_apply(&r->known, &shown);
		printer_result(&r->out, &shown);
		free(shown.reason);
		strv_free(&shown.diag);
		break;
	}
	default:
		break;
	}
}

static void on_tick(void *arg)
{
	struct run *r = arg;

	printer_tick(&r->out);
}

/* Seconds until the payload's first line: as asked for, as the host needs. */
static double first_line(const struct run *r)
{
	const char *own = recipe_get(r->recipe, "host", "", "first-line");

	if (r->o->first_timeout > 0)
		return r->o->first_timeout;
	return own ? atof(own) : FIRST_LINE_S;
}

static struct boot_config boot_config(struct run *r, unsigned int number)
{
	return (struct boot_config){
		.vars = &r->vars,
		.devices = true,
		.number = number,
		.run_dir = r->dir,
		.tmp_dir = r->tmp,
		.tests = &r->tests,
		.slow = slow(r),
		.test_timeout_ms = (uint64_t)(r->o->test_timeout * 1000),
		.grace_ms = (unsigned int)(r->o->grace * 1000),
		.first_ms = (unsigned int)(first_line(r) * 1000),
		.silence_ms = (unsigned int)((r->o->silence + r->o->grace) * 1000),
		.deadline = r->deadline,
		.serial = r->serial,
		.commands = r->commands,
		.handler = on_event,
		.tick = on_tick,
		.arg = r,
		.disturb = r->o->disturb,
		.disturb_arg = r->o->disturb_arg,
	};
}

/* Does a guest run under KVM here? Only a guest can tell. NULL: yes; else why not. */
static char *probe_kvm(struct run *r)
{
	const size_t given = r->vars.given.n;
	const char *boot = r->boot;
	struct boot_config c = boot_config(r, 0);
	struct boot_outcome o;
	struct report rep;
	char *why = NULL;

	if (access("/dev/kvm", R_OK | W_OK) != 0)
		return xasprintf("/dev/kvm: %s", strerror(errno));
	c.vmm = recipe_get(r->recipe, "probe", "", "command");
	vars_set(&r->vars.given, "DEVICE_ARGS", "");
	vars_set(&r->vars.run, "ACCEL", "kvm");
	vars_set(&r->vars.run, "BOOT", "pvh");
	r->boot = "pvh";
	set_cmdline(r, "list=1");
	c.devices = false;
	c.run_dir = r->tmp; /* its logs are of no further use */
	c.serial = c.commands = -1;
	c.handler = NULL;
	c.disturb = NULL;
	c.first_ms = PROBE_MS;
	c.silence_ms = PROBE_MS;
	c.deadline = now_ms() + 2 * PROBE_MS;
	report_init(&rep);
	boot_run(&c, &rep, &o);
	if (o.end != BOOT_DONE)
		why = xasprintf("a probe guest under KVM did not work: %s%s%s",
				o.message ? o.message : "no end", o.detail.n ? ": " : "",
				o.detail.n ? o.detail.v[0] : "");
	report_free(&rep);
	boot_outcome_free(&o);
	while (r->vars.given.n > given)
		free(r->vars.given.v[--r->vars.given.n]);
	r->boot = boot;
	vars_set(&r->vars.run, "BOOT", r->boot);
	return why;
}

static bool choose_accel(struct run *r)
{
	const char *want = choose(r->o->accel, r, "accel", "tcg");
	char *why;

	r->accel = "tcg";
	vars_set(&r->vars.run, "ACCEL", r->accel);
	if (strcmp(want, "tcg") == 0)
		return true;
	why = probe_kvm(r);
	if (!why) {
		r->accel = "kvm";
	} else if (strcmp(want, "kvm") == 0) {
		fprintf(stderr, "assay: no KVM here: %s\n", why);
		fputs(r->o->accel ?
			      "assay: --accel tcg emulates the CPU and works everywhere\n" :
			      "assay: --host nested brings its own KVM, inside an emulated machine\n",
		      stderr);
		free(why);
		return false;
	} else {
		printer_note(&r->out, "no KVM (%s): the CPU is emulated", why);
	}
	free(why);
	vars_set(&r->vars.run, "ACCEL", r->accel);
	return true;
}

static size_t without_verdict(const struct run *r, const struct strv *ids)
{
	size_t i, k, n = 0;

	for (i = 0; i < ids->n; i++) {
		for (k = 0; k < r->report.n; k++)
			if (strcmp(r->report.results[k].id, ids->v[i]) == 0)
				break;
		n += k == r->report.n;
	}
	return n;
}

static void remember_boot(struct run *r, unsigned int number, const struct boot_outcome *o)
{
	strv_take(
		&r->boots,
		xasprintf("%u: %s; first line after %.2f s, end after %.2f s, %zu bytes of console",
			  number, o->message ? o->message : "complete", (double)o->first_ms / 1000,
			  (double)o->ms / 1000, o->bytes));
}

static void tell_end(struct run *r, const struct boot_outcome *o)
{
	size_t i;

	printer_note(&r->out, "%s", o->message ? o->message : "the boot ended");
	if (o->test) /* the test's own lines have shown the rest */
		return;
	for (i = 0; i < o->detail.n; i++)
		printer_note(&r->out, "  %s", o->detail.v[i]);
}

/* A boot that ended badly while no test ran: else nobody would hear of it in the report. */
static void blame_harness(struct run *r, const struct boot_outcome *o)
{
	printer_result(&r->out, report_add(&r->report, "harness.end", V_ERROR,
					   o->message ? o->message : "no end"));
}

/* A program of the host that lives on and does nothing: a FAIL of its own, once. */
static void blame_program(struct run *r, const struct boot_outcome *o)
{
	char *id = xasprintf("host.%s.alive", o->program);
	struct result *t;
	size_t i;

	for (i = 0; i < r->report.n; i++)
		if (strcmp(r->report.results[i].id, id) == 0)
			break;
	if (i == r->report.n) {
		t = report_add(&r->report, id, V_FAIL, o->message);
		t->clause = xstrdup(
			"robustness: no component of the host crashes, whatever the guest does");
		t->owner = xstrdup(o->program);
		if (o->running)
			strv_take(&t->diag,
				  xasprintf("while %s ran, which is tried again", o->running));
		else if (o->last)
			strv_take(&t->diag, xasprintf("after %s", o->last));
		deviations_apply(&r->known, t);
		printer_result(&r->out, t);
	}
	free(id);
}

/*
 * Boots until these tests have a verdict; list is how the payload is told of them. Returns how the last boot
 * ended; *complete: they have.
 */
static enum boot_end boot_tests(struct run *r, const struct strv *ids, const char *list,
				bool *complete)
{
	unsigned int boots = 0;
	enum boot_end end = BOOT_START;
	const unsigned int most = most_reboots(r);
	char *after = NULL, *suspect = NULL;
	bool go_on = true;

	*complete = false;
	while (go_on && make_cmdline(r, list, after, boots >= most)) {
		struct boot_config c = boot_config(r, ++r->number);
		struct boot_outcome o;
		struct report part;
		size_t left;

		boots++;
		c.suspect = suspect;
		report_init(&part);
		r->current = &part;
		boot_run(&c, &part, &o);
		r->current = NULL;
		report_append(&r->report, &part);
		remember_boot(r, r->number, &o);
		end = o.end;
		left = without_verdict(r, ids);
		/* With every verdict there, repetitions may still be missing. */
		*complete = end == BOOT_DONE ||
			    (left == 0 && end != BOOT_INTERRUPTED && end != BOOT_DEADLINE);
		if (end == BOOT_WORKER)
			blame_program(r, &o);
		go_on = !*complete && (o.last || end == BOOT_WORKER) && end != BOOT_START &&
			end != BOOT_INTERRUPTED && end != BOOT_DEADLINE && boots <= most;
		if ((*complete || go_on) && end != BOOT_DONE && end != BOOT_WORKER &&
		    end != BOOT_AGAIN && !o.test)
			blame_harness(r, &o);
		if (end != BOOT_DONE)
			tell_end(r, &o);
		if (go_on)
			printer_note(&r->out, "booting again for the remaining %zu test%s", left,
				     left == 1 ? "" : "s");
		else if (!*complete && boots > most)
			printer_note(&r->out, "%u boot%s enough: %zu test%s no verdict", boots,
				     boots == 1 ? " is" : "s are", left,
				     left == 1 ? " has" : "s have");
		if (o.last || end != BOOT_WORKER) {
			free(after);
			after = o.last ? xstrdup(o.last) : NULL;
		}
		free(suspect);
		suspect = o.running ? xstrdup(o.running) : NULL;
		if (go_on && r->o->repeat > 1)
			printer_note(&r->out,
				     "repetitions that stood before %s are not made up for", after);
		boot_outcome_free(&o);
	}
	free(after);
	free(suspect);
	return end;
}

/* Tests that leave this host broken, [host] alone = GLOB,...: each runs in a boot of its own, after the others. */
static void part_tests(const struct run *r, struct strv *together, struct strv *alone)
{
	const char *globs = recipe_get(r->recipe, "host", "", "alone");
	size_t i;

	for (i = 0; i < r->selected.n; i++) {
		const char *id = r->selected.v[i];

		strv_add(globs && *globs && glob_list_selects(globs, id) ? alone : together, id);
	}
}

/* Boots until all selected tests have a verdict. True: they have. */
static bool run_boots(struct run *r)
{
	struct strv together = { 0 }, alone = { 0 };
	enum boot_end end = BOOT_DONE;
	bool complete = true, all = true;
	char *list;
	size_t i;

	part_tests(r, &together, &alone);
	if (together.n) {
		list = alone.n ? tests_list(&r->tests, &together) :
		       r->list ? xstrdup(r->list) :
				 NULL;
		end = boot_tests(r, &together, list, &all);
		free(list);
	}
	for (i = 0;
	     i < alone.n && end != BOOT_START && end != BOOT_INTERRUPTED && end != BOOT_DEADLINE;
	     i++) {
		const struct strv one = { .v = &alone.v[i], .n = 1 };

		end = boot_tests(r, &one, alone.v[i], &complete);
		all = all && complete;
	}
	all = all && i == alone.n;
	strv_free(&together);
	strv_free(&alone);
	r->report.ended = all;
	r->end = end;
	return all;
}

/* --- the end ----------------------------------------------------------------------------- */

static bool write_in(const struct run *r, const char *name, const struct sbuf *b)
{
	char *path = xasprintf("%s/%s", r->dir, name);
	const int ret = write_file(path, b->s ? b->s : "", b->len);

	if (ret)
		fprintf(stderr,
			"assay: %s: %s\nassay: --output DIR or ASSAY_RUNS=DIR names another place\n",
			path, strerror(-ret));
	free(path);
	return !ret;
}

/* The text of the file that a key of [after] names; "" if there is none. NULL: there is no such key. */
static char *after_file(const struct run *r, const char *key)
{
	const char *template = recipe_get(r->recipe, "after", "", key);
	struct sbuf err = { 0 };
	char *path, *text = NULL;

	if (!template)
		return NULL;
	path = vars_string(&r->vars, template, &err);
	if (!path)
		fprintf(stderr, "assay: [after] %s: %s", key, err.s);
	else if (read_file(path, HOST_LOG_MAX, &text, NULL))
		text = NULL;
	sbuf_free(&err);
	free(path);
	return text ? text : xstrdup("");
}

static void set_meta(struct run *r, const char *key, char *value)
{
	report_meta_set(&r->report, key, value);
	free(value);
}

static char *date(const struct run *r)
{
	const time_t started = time(NULL) - (time_t)((now_ms() - r->started) / 1000);
	char text[32];
	struct tm tm;

	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&started, &tm));
	return xstrdup(text);
}

/* This program's command line, as a shell would read it. */
static char *invocation(void)
{
	struct sbuf b = { 0 };
	char *args, *p;
	size_t n;

	if (read_file("/proc/self/cmdline", 1u << 20, &args, &n))
		return xstrdup("");
	for (p = args; p < args + n; p += strlen(p) + 1) {
		sbuf_add(&b, p == args ? "" : " ");
		sbuf_add_quoted(&b, p);
	}
	free(args);
	return sbuf_steal(&b);
}

/* The hash of the payload that this boot starts. */
static char *payload_hash(const struct run *r)
{
	const char *var = strcmp(r->boot, "efi") == 0	     ? "PAYLOAD_IMG" :
			  strcmp(r->boot, "efi-kernel") == 0 ? "PAYLOAD_EFI" :
							       "PAYLOAD_ELF";
	char *command = xasprintf("sha256sum ${%s}", var);
	struct sbuf why = { 0 };
	char *text = output_of(r, command, &why);

	sbuf_free(&why);
	free(command);
	if (text)
		text[strcspn(text, " \n")] = '\0';
	return text;
}

/* What a program of the recipe says of its version: the first word of its command, asked by --version. NULL: nothing. */
static char *version_of(const struct run *r, const char *type, const char *name)
{
	const char *command = recipe_get(r->recipe, type, name, "command");
	char option[] = "--version", *text = NULL;
	struct strv words = { 0 };
	struct sbuf err = { 0 };

	if (command && vars_words(&r->vars, command, &words, &err) && words.n) {
		char *const argv[] = { words.v[0], option, NULL };

		text = ask(argv, VERSION_MS, &err);
	}
	if (text)
		text[strcspn(text, "\r\n")] = '\0';
	strv_free(&words);
	sbuf_free(&err);
	return text;
}

/* The version line of the kernel's log, where the recipe has the host's read; else this machine's kernel. */
static char *host_kernel(const struct run *r)
{
	static const char begin[] = "Linux version ";
	char *log = after_file(r, "kernel-log"), *line = log ? strstr(log, begin) : NULL;
	char *kernel = NULL;
	struct utsname u;

	if (line)
		kernel = xasprintf("Linux %.*s", (int)strcspn(line + strlen(begin), " \r\n"),
				   line + strlen(begin));
	else if (uname(&u) == 0)
		kernel = xasprintf("%s %s %s", u.sysname, u.release, u.machine);
	free(log);
	return kernel;
}

static void set_meta_if(struct run *r, const char *key, char *value)
{
	if (value && *value)
		set_meta(r, key, value);
	else
		free(value);
}

/* What whoever reads the report wants to know of the run (report.h). */
static void describe_run(struct run *r, size_t left)
{
	char *hash = payload_hash(r), *faults = join(&r->o->faults, " ");
	size_t i;

	set_meta(r, "host", xstrdup(r->recipe->name));
	set_meta(r, "machine", xstrdup(r->machine));
	set_meta(r, "boot", xstrdup(r->boot));
	set_meta(r, "cpus", xasprintf("%u", r->o->cpus));
	set_meta(r, "memory", xstrdup(vars_get(&r->vars, "MEM")));
	set_meta(r, "accelerator", xstrdup(r->accel));
	set_meta_if(r, "vmm", version_of(r, "vmm", ""));
	set_meta_if(r, "backend", version_of(r, "device", "refdev"));
	set_meta_if(r, "kernel", host_kernel(r));
	if (hash)
		set_meta(r, "payload", xasprintf("sha256:%s", hash));
	if (*faults)
		set_meta(r, "fault", xstrdup(faults));
	set_meta(r, "selected", xstrdup(r->wanted));
	if (r->o->shards > 1)
		set_meta(r, "shard", xasprintf("%u/%u", r->o->shard, r->o->shards));
	set_meta(r, "tests", xasprintf("%zu of %zu", r->selected.n, r->tests.n));
	if (r->require)
		set_meta(r, "require", xstrdup(r->require));
	set_meta(r, "command", invocation());
	set_meta(r, "again", again_command(r->o));
	set_meta(r, "date", date(r));
	set_meta(r, "seconds", xasprintf("%.1f", (double)(now_ms() - r->started) / 1000));
	for (i = 0; i < r->boots.n; i++) {
		char *key = xasprintf("boot %zu", i + 1);

		set_meta(r, key, xstrdup(r->boots.v[i]));
		free(key);
	}
	set_meta(r, "complete", xstrdup("yes"));
	if (!r->report.ended) {
		const char *bail = r->report.bail;
		char *why = xasprintf("%s%s%s%zu of %zu tests have no verdict",
				      bail ? "the payload gave up: " : "", bail ? bail : "",
				      bail			 ? "; " :
				      r->end == BOOT_INTERRUPTED ? "interrupted; " :
				      r->end == BOOT_DEADLINE	 ? "out of time; " :
								   "",
				      left, r->selected.n);

		report_cut(&r->report, why);
		free(why);
	}
	free(hash);
	free(faults);
}

/* False: they are not there, and it has said why. */
static bool write_reports(const struct run *r)
{
	struct sbuf b = { 0 };
	bool ok;

	report_to_ktap(&r->report, &b);
	ok = write_in(r, "report.ktap", &b);
	sbuf_free(&b);
	if (ok) {
		report_to_json(&r->report, &b);
		ok = write_in(r, "result.json", &b);
		sbuf_free(&b);
	}
	return ok;
}

static void show_path(const struct run *r, const char *label, const char *name)
{
	const char *dir = r->dir;
	char cwd[PATH_MAX];
	size_t n;

	if (getcwd(cwd, sizeof(cwd))) {
		n = strlen(cwd);
		if (strncmp(dir, cwd, n) == 0 && dir[n] == '/')
			dir += n + 1;
	}
	printf("%s %s/%s\n", label, dir, name);
}

/* The host's own log and state, where the recipe says how they are read. */
static void judge_host(struct run *r)
{
	const char *command = recipe_get(r->recipe, "after", "", "command");
	struct sbuf why = { 0 };
	char *log = command ? output_of(r, command, &why) : after_file(r, "kernel-log");
	char *records = after_file(r, "records");
	struct strv notes = { 0 };
	size_t i;

	if (command && !log)
		printer_note(&r->out, "the host's log was not read: %s", why.s);
	sbuf_free(&why);
	if (!command && !log)
		return;
	if (command) {
		const struct sbuf b = { .s = log, .len = log ? strlen(log) : 0 };

		write_in(r, "host-kernel.log", &b);
	}
	/* Where nothing came to run there is nothing to judge. */
	if (r->report.started || (log && *log) || (records && *records))
		host_judge(&r->report, log, records, &notes);
	for (i = 0; i < notes.n; i++)
		printer_note(&r->out, "%s", notes.v[i]);
	strv_free(&notes);
	free(log);
	free(records);
}

/*
 * What an earlier run left in the same folder: files that programs append to, and its report, which would
 * be taken for this run's if this one were killed.
 */
static void forget_host(const struct run *r)
{
	static const char *const keys[] = { "kernel-log", "records" };
	static const char *const reports[] = { "report.ktap", "result.json" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(reports); i++) {
		char *path = xasprintf("%s/%s", r->dir, reports[i]);

		unlink(path);
		free(path);
	}

	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		const char *template = recipe_get(r->recipe, "after", "", keys[i]);
		struct sbuf err = { 0 };
		char *path = template ? vars_string(&r->vars, template, &err) : NULL;

		if (path)
			unlink(path);
		free(path);
		sbuf_free(&err);
	}
}

static int conclude(struct run *r, bool complete)
{
	const unsigned int garbage = r->report.garbage;
	const size_t left = without_verdict(r, &r->selected), n = r->report.n;
	bool written;
	size_t i;
	int status;

	if (complete)
		report_judge(&r->report);
	judge_host(r);
	if (complete)
		require_all(r->require, &r->selected, &r->report);
	for (i = 0; i < r->report.n; i++)
		require_result(r->require, &r->report.results[i]);
	for (i = 0; i < r->report.n; i++)
		deviations_apply(&r->known, &r->report.results[i]);
	for (i = n; i < r->report.n; i++)
		printer_result(&r->out, &r->report.results[i]);
	describe_run(r, left);
	written = write_reports(r);
	if (garbage)
		printer_note(&r->out, "%u line%s of unparsable output on the console", garbage,
			     garbage == 1 ? "" : "s");
	status = written ? report_status(&r->report) : STATUS_NO_REPORT;
	if (!r->o->quiet) {
		printer_summary(&r->out, &r->report, now_ms() - r->started);
		show_path(r, "Full log:", "serial.raw");
		show_path(r, "Report:  ", "report.ktap");
	}
	fflush(stdout);
	return status;
}

static void show_title(struct run *r)
{
	const char *what = recipe_get(r->recipe, "host", "", "description");
	char *text;
	size_t i;

	printer_title(&r->out, r->recipe->name, what ? what : "");
	text = xasprintf("%s, %s, %u CPU%s, %s, %s", r->machine, r->boot, r->o->cpus,
			 r->o->cpus == 1 ? "" : "s", vars_get(&r->vars, "MEM"), r->accel);
	printer_field(&r->out, "machine", text);
	free(text);
	if (r->selected.n != r->tests.n) {
		text = xasprintf("%zu of %zu", r->selected.n, r->tests.n);
		printer_field(&r->out, "tests", text);
		free(text);
	}
	for (i = 0; i < r->o->faults.n; i++)
		printer_field(&r->out, "fault", r->o->faults.v[i]);
	fflush(stdout);
}

/* NAME.known beside NAME.host: what is known of that host. */
static char *known_path(const struct run *r)
{
	const size_t n = strlen(r->recipe->path);
	char *path;

	if (r->o->known)
		return xstrdup(r->o->known);
	if (!has_suffix(r->recipe->path, ".host"))
		return NULL;
	path = xasprintf("%.*s.known", (int)(n - 5), r->recipe->path);
	if (access(path, R_OK) == 0)
		return path;
	free(path);
	return NULL;
}

/* [known GLOB] sections, which recipes inherit: deviations of programs that they start. */
static void recipe_known(struct run *r)
{
	struct strv globs = { 0 };
	size_t i;

	recipe_names(r->recipe, "known", &globs);
	for (i = 0; i < globs.n; i++) {
		const char *reason = recipe_get(r->recipe, "known", globs.v[i], "reason");
		const char *at_times = recipe_get(r->recipe, "known", globs.v[i], "at-times");

		deviations_add(&r->known, globs.v[i], reason ? reason : "known",
			       at_times && strcmp(at_times, "yes") == 0);
	}
	strv_free(&globs);
}

/* An entry of --known FILE that fits no test does nothing; a host's own file may be older than the payload. */
static bool check_known(const struct run *r, const char *path)
{
	bool ok = true;
	size_t i;

	for (i = 0; r->o->known && i < r->known.n; i++) {
		const struct deviation *d = &r->known.v[i];

		if (deviation_fits(d, r->tests.ids, r->tests.n))
			continue;
		fprintf(stderr, "assay: %s: no test matches \"%s\"", path, d->glob);
		print_suggestions(stderr, d->glob, r->tests.ids, r->tests.n);
		fputs("; `assay list` names them all\n", stderr);
		ok = false;
	}
	return ok;
}

static bool read_known(struct run *r)
{
	char *path = known_path(r);
	unsigned int line;
	const int ret = path ? deviations_read(path, &r->known, &line) : 0;
	bool wrong = false;

	if (ret == -EBADMSG)
		fprintf(stderr,
			"assay: %s:%u: a test's id and then the reason, with a link, are wanted\n",
			path, line);
	else if (ret)
		fprintf(stderr, "assay: %s: %s\n", path, strerror(-ret));
	else if (check_known(r, path))
		recipe_known(r);
	else
		wrong = true;
	free(path);
	return !ret && !wrong;
}

/* --- options that would do nothing --------------------------------------------------------- */

/* Each --set is of a variable that the recipe, or this program, asks for. */
static bool check_set(const struct run *r)
{
	static const char *const own[] = { "BOOTS", "CIDS", "GUEST_APPEND", "HOST_CIDS", "LAYOUT" };
	struct strv names = { 0 };
	bool ok = true;
	size_t i;

	recipe_uses(r->recipe, &names);
	for (i = 0; i < ARRAY_SIZE(own); i++)
		strv_add(&names, own[i]);
	for (i = 0; i < r->o->set.n; i++) {
		char *name = xstrndup(r->o->set.v[i], strcspn(r->o->set.v[i], "="));

		if (!strv_has(&names, name)) {
			fprintf(stderr, "assay: --set %s: nothing of host %s uses ${%s}",
				r->o->set.v[i], r->recipe->name, name);
			print_suggestions(stderr, name, (const char *const *)names.v, names.n);
			fputc('\n', stderr);
			ok = false;
		}
		free(name);
	}
	strv_free(&names);
	return ok;
}

/* The payload would only warn of a key that it does not know. */
static bool check_append(const struct run *r)
{
	bool ok = true;
	size_t i;

	for (i = 0; r->options.n && i < r->o->append.n; i++) {
		const char *text = r->o->append.v[i];

		for (; *(text += strspn(text, " ")); text += strcspn(text, " ")) {
			char *key = xstrndup(text, strcspn(text, "= "));

			if (!strv_has(&r->options, key)) {
				fprintf(stderr,
					"assay: --append %s: the payload has no option \"%s\"",
					r->o->append.v[i], key);
				print_suggestions(stderr, key, (const char *const *)r->options.v,
						  r->options.n);
				fputc('\n', stderr);
				ok = false;
			} else if (text[strlen(key)] != '=') {
				fprintf(stderr, "assay: --append %s: %s=VALUE is wanted\n",
					r->o->append.v[i], key);
				ok = false;
			}
			free(key);
		}
	}
	return ok;
}

/* A recipe that gives the payload no command line cannot tell it what the options ask for. */
static bool check_cmdline(const struct run *r)
{
	const struct run_options *o = r->o;
	const char *option = o->tests.n	   ? "--tests" :
			     o->append.n   ? "--append" :
			     o->shards > 1 ? "--shard" :
			     o->shuffle	   ? "--shuffle" :
			     o->repeat > 1 ? "--repeat" :
					     NULL;
	struct strv names = { 0 };
	bool ok;

	recipe_uses(r->recipe, &names);
	ok = !option || strv_has(&names, "CMDLINE") || strv_has(&names, "CMDLINE_ARGS");
	strv_free(&names);
	if (!ok)
		fprintf(stderr,
			"assay: %s: host %s gives the payload no command line: a command of %s has to use "
			"${CMDLINE} or ${CMDLINE_ARGS}, or to write it into the image (assay configure)\n",
			option, r->recipe->name, r->recipe->path);
	return ok;
}

/* --- options of hosts that boot a kernel of their own ------------------------------------ */

static bool recipe_takes(const struct run *r, const char *var, const char *option)
{
	size_t i, k;

	for (i = 0; i < r->recipe->n; i++)
		for (k = 0; k < r->recipe->sections[i].n; k++)
			if (strcmp(r->recipe->sections[i].keys[k].key, var) == 0)
				return true;
	fprintf(stderr, "assay: %s: host %s has no use for it (--host nested has)\n", option,
		r->recipe->name);
	return false;
}

/* The option's path, made absolute, is the variable's value. */
static bool set_option_path(struct run *r, const char *option, const char *var, const char *path,
			    int mode)
{
	char *real;

	if (!recipe_takes(r, var, option))
		return false;
	real = realpath(path, NULL);
	if (!real || access(real, mode) != 0) {
		fprintf(stderr, "assay: %s %s: %s\n", option, path, strerror(errno));
		free(real);
		return false;
	}
	vars_set(&r->vars.given, var, real);
	free(real);
	return true;
}

static bool is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

#define BZIMAGE "arch/x86/boot/bzImage"

/* The modules in the folder of a kernel: lib/modules/VERSION itself, or one named so. NULL: none. */
static char *beside(const char *image)
{
	char *dir = xstrndup(image, (size_t)(strrchr(image, '/') - image));
	char *own = xasprintf("%s/kernel", dir), *named = xasprintf("%s/modules", dir);
	char *found = is_folder(own) ? xstrdup(dir) : is_folder(named) ? xstrdup(named) : NULL;

	free(own);
	free(named);
	free(dir);
	return found;
}

/* A file, a build tree, or lib/modules/VERSION with its vmlinuz, as some distributions have it. */
static char *image_in(const char *kernel)
{
	char *image = xasprintf("%s/" BZIMAGE, kernel);

	if (is_folder(kernel) && access(image, F_OK) == 0)
		return image;
	free(image);
	return is_folder(kernel) ? xasprintf("%s/vmlinuz", kernel) : xstrdup(kernel);
}

/* A build tree serves for both; of a bzImage inside one, or of a vmlinuz beside its modules, they are found. */
static bool set_kernel(struct run *r)
{
	const char *kernel = r->o->kernel, *modules = r->o->modules;
	char *image, *dir = NULL;
	bool ok;

	if (!kernel && modules) {
		fputs("assay: --modules goes with --kernel\n", stderr);
		return false;
	}
	if (!kernel)
		return true;
	image = image_in(kernel);
	if (is_folder(kernel)) {
		dir = xstrdup(kernel);
	} else if (has_suffix(image, "/" BZIMAGE)) {
		dir = xstrndup(image, strlen(image) - strlen("/" BZIMAGE));
	} else if (strrchr(image, '/')) {
		dir = beside(image);
	}
	ok = set_option_path(r, "--kernel", "KERNEL", image, R_OK);
	if (ok && modules && !*modules)
		vars_set(&r->vars.given, "MODULES", "");
	else if (ok && (modules || dir))
		ok = set_option_path(r, "--modules", "MODULES", modules ? modules : dir,
				     R_OK | X_OK);
	else if (ok)
		vars_set(&r->vars.given, "MODULES", "");
	free(image);
	free(dir);
	return ok;
}

static bool set_host_options(struct run *r)
{
	const struct run_options *o = r->o;
	char number[32];

	if (!set_kernel(r))
		return false;
	if (o->l2_qemu && !set_option_path(r, "--l2-qemu", "L2_QEMU", o->l2_qemu, X_OK))
		return false;
	if (o->l1_append) {
		if (!recipe_takes(r, "L1_APPEND", "--l1-append"))
			return false;
		vars_set(&r->vars.given, "L1_APPEND", o->l1_append);
	}
	if (o->soak > 0) {
		if (!recipe_takes(r, "SOAK_SECONDS", "--soak"))
			return false;
		snprintf(number, sizeof(number), "%.0f", o->soak * 60);
		vars_set(&r->vars.given, "SOAK_SECONDS", number);
		vars_set(&r->vars.run, "SOAK", "yes");
	}
	return true;
}

/* STATUS_OK: go on. */
static int prepare(struct run *r)
{
	struct sbuf err = { 0 };
	size_t i;

	r->recipe = recipe_load(r->o->host, &err);
	if (!r->recipe) {
		fprintf(stderr, "assay: %s", err.s);
		sbuf_free(&err);
		return STATUS_USAGE;
	}
	r->vars.recipe = r->recipe;
	for (i = 0; i < r->o->set.n; i++)
		strv_add(&r->vars.given, r->o->set.v[i]);
	set_programs(r);
	set_machine(r);
	if (!check_choice(r, "machine", r->machine) || !check_choice(r, "boot", r->boot) ||
	    !check_boot(r) || !set_host_options(r) || !check_set(r) || !check_cmdline(r))
		return STATUS_USAGE;
	if (!load_tests(r->elf, &r->tests))
		return STATUS_NO_REPORT;
	image_options_read(r->elf, &r->options); /* without a table nothing is checked */
	if (!check_append(r) || !read_known(r) || !select_tests(r) || !place_faults(r))
		return STATUS_USAGE;
	set_config_size(r);
	if (!check_needs(r) || !take_lock(r) || !make_run_dir(r) || !make_tmp_dir(r))
		return STATUS_NO_REPORT;
	set_dirs(r, r->dir);
	return choose_accel(r) ? STATUS_OK : STATUS_NO_REPORT;
}

static void log_invocation(const struct run *r)
{
	char *args, *line;
	ssize_t w;

	if (r->commands < 0)
		return;
	args = invocation();
	line = xasprintf("# %s\n\n", args);
	w = write(r->commands, line, strlen(line));
	(void)w;
	free(line);
	free(args);
}

static void release(struct run *r)
{
	if (r->tmp && r->o->keep)
		fprintf(stderr, "assay: kept %s\n", r->tmp);
	else if (r->tmp)
		remove_tree(r->tmp);
	if (r->lock >= 0)
		close(r->lock);
	if (r->serial >= 0)
		close(r->serial);
	if (r->commands >= 0)
		close(r->commands);
	printer_free(&r->out);
	deviations_free(&r->known);
	report_free(&r->report);
	image_tests_free(&r->tests);
	strv_free(&r->options);
	strv_free(&r->selected);
	strv_free(&r->boots);
	vars_free(&r->vars);
	recipe_free(r->recipe);
	free(r->list);
	free(r->wanted);
	free(r->require);
	free(r->dir);
	free(r->tmp);
	free(r->elf);
	free(r->own_boot);
}

int run_command(const struct run_options *o)
{
	struct run r = { .o = o, .lock = -1, .serial = -1, .commands = -1 };
	int status;

	signals_init();
	report_init(&r.report);
	printer_init(&r.out, stdout);
	r.out.verbose = o->verbose;
	r.out.quiet = o->quiet;
	r.out.runs = o->runs;
	r.out.nruns = o->nruns;
	r.out.own = o->own;
	r.started = now_ms();
	r.deadline = r.started + (uint64_t)((o->timeout + o->soak * 60) * 1000);
	status = prepare(&r);
	if (status != STATUS_OK)
		goto out;
	r.serial = open_in(r.dir, "serial.raw");
	r.commands = r.serial < 0 ? -1 : open_in(r.dir, "commands.txt");
	if (r.commands < 0) {
		status = STATUS_NO_REPORT;
		goto out;
	}
	log_invocation(&r);
	forget_host(&r);
	r.out.total = (unsigned int)r.selected.n * o->repeat;
	show_title(&r);
	status = conclude(&r, run_boots(&r));
out:
	printer_clear(&r.out);
	release(&r);
	return status;
}
