/* test_redact: which names are secrets', and the files that add words. */
#include "redact.h"

#include "check.h"

#include <stdlib.h>
#include <unistd.h>

#include "diag.h"

static char message[1024];

static void keep_message(enum diag_level level, const char *text, void *ctx)
{
	(void)level, (void)ctx;
	snprintf(message, sizeof(message), "%s", text);
}

static void names(void)
{
	static const char *const secret[] = {
		"password",	 "Password2",  "db_password", "PASSWD",	     "user_pwd",
		"pwd1",		 "secret",     "SECRET_KEY",  "authToken",   "csrfmiddlewaretoken",
		"X-Api-Key",	 "apikey",     "api.key",     "access_key",  "privateKey",
		"Authorization", "auth",       "HTTPAuth",    "basic_auth",  "cookie",
		"Set-Cookie",	 "session",    "sessionid",   "session_id",  "_Login__otp",
		"pin",		 "cardPin2",   "ssn",	      "credit_card", "cardNumber",
		"cvv",		 "bearer",     "credentials", "key",	     "hmac_key",
		"sshKey",	 "passphrase", "user.pass",   "jwt",	     "tokenizer",
	};
	static const char *const plain[] = {
		"author",     "authors",  "authenticated", "pinned",
		"spinner",    "shipping", "user",	   "name",
		"keys",	      "keyboard", "monkey",	   "cache_key",
		"primaryKey", "sort_key", "sessions",	   "session_factory",
		"compass",    "passed",	  "bypass",	   "",
		"_",	      "x",	  "total",	   "considered",
		"sidebar",    "opinion",  "aspnet",	   "é",
	};
	struct redact *r;

	if (!CHECK_EQ(redact__new(NULL, &r), 0))
		return;
	for (size_t i = 0; i < sizeof(secret) / sizeof(secret[0]); i++)
		CHECK(redact__matches(r, secret[i]) || (fprintf(stderr, "%s: ", secret[i]), 0));
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		CHECK(!redact__matches(r, plain[i]) || (fprintf(stderr, "%s: ", plain[i]), 0));
	CHECK(!redact__matches(NULL, "password"));
	redact__free(r);
	redact__free(NULL);
}

/* What comes of a file of this content. */
static int from_file(const char *content, size_t len, struct redact **out)
{
	char path[] = "/tmp/pylu-redact-XXXXXX";
	int fd = mkstemp(path), err;

	CHECK(fd >= 0 && write(fd, content, len) == (ssize_t)len && !close(fd));
	*message = 0;
	err = redact__new(path, out);
	unlink(path);
	return err;
}

static void good_file(void)
{
	static const char content[] = "# ours\n\n  iban  # account\nCustomer_Id\r\nplz\nгеслo";
	struct redact *r;

	if (!CHECK_EQ(from_file(content, sizeof(content) - 1, &r), 0))
		return;
	CHECK(redact__matches(r, "iban") && redact__matches(r, "customerIban2") && !redact__matches(r, "caliban"));
	CHECK(redact__matches(r, "customer_id") && redact__matches(r, "theCustomerID"));
	CHECK(redact__matches(r, "plz") && redact__matches(r, "геслo"));
	CHECK(redact__matches(r, "password") && !redact__matches(r, "ours") && !redact__matches(r, "account"));
	redact__free(r);
	CHECK_EQ(from_file("", 0, &r), 0);
	redact__free(r);
}

static void bad_file(const char *content, const char *says)
{
	struct redact *r = (struct redact *)1;

	CHECK_EQ(from_file(content, strlen(content), &r), -DIAG_USAGE);
	CHECK(!r);
	CHECK(strstr(message, says) || (fprintf(stderr, "'%s': ", message), 0));
}

static void bad_files(void)
{
	static char text[80000];
	struct redact *r;

	bad_file("ok\ntwo words\n", ":2: 'two words'");
	bad_file("a*\n", ":1: 'a*'");
	bad_file("__\n", ":1:");
	memset(text, 'x', 60);
	bad_file(text, ":1:");
	memset(text, 'x', 600);
	bad_file(text, "too long");
	*text = 0;
	for (int i = 0; i < 1001; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "word%dx\n", i);
	bad_file(text, "more than 1000");
	CHECK_EQ(redact__new("/nonexistent/words", &r), -ENOENT);
	CHECK(strstr(message, "/nonexistent/words"));
	CHECK(redact__new("/", &r) < 0 && *message);
}

int main(void)
{
	diag_set_callback(keep_message, NULL);
	names();
	good_file();
	bad_files();
	return check_done();
}
