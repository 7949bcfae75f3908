/*
 * Of states that differ by the names of nodes and clients alone, only one is looked at.
 * settle names them anew: each node's part of the state is a number, by which the nodes
 * are sorted, and of the two ways to name the clients the one is taken that makes the
 * lower numbers.
 */

static unsigned long long part(int n, int first)
{
	unsigned long long k = 0;
	int j, c, i;
	k = now.holder[n];
	if (first && k)
		k = 3 - k;
	k = k << 3 | now.given[n];
	k = k << 3 | now.floor[n];
	k = k << 1 | now.quarantine[n];
	for (j = 0; j < 2; j++) {
		c = j ^ first;
		i = 3 * c + n;
		k = k << 3 | now.line[i];
		k = k << 3 | now.asked[i];
		k = k << 1 | now.behind[i];
		k = k << 1 | now.anew[i];
		k = k << 1 | now.touched[i];
		k = k << 1 | now.freed[i];
		k = k << 1 | now.known[i];
		k = k << 1 | now.believed[i];
		k = k << 1 | now.before[i];
		k = k << 1 | now.aged[i];
		k = k << 2 | now.vote[i];
	}
	return k;
}

static void restore(int n, unsigned long long k)
{
	int c, i;
	for (c = 1; c >= 0; c--) {
		i = 3 * c + n;
		now.vote[i] = k & 3; k >>= 2;
		now.aged[i] = k & 1; k >>= 1;
		now.before[i] = k & 1; k >>= 1;
		now.believed[i] = k & 1; k >>= 1;
		now.known[i] = k & 1; k >>= 1;
		now.freed[i] = k & 1; k >>= 1;
		now.touched[i] = k & 1; k >>= 1;
		now.anew[i] = k & 1; k >>= 1;
		now.behind[i] = k & 1; k >>= 1;
		now.asked[i] = k & 7; k >>= 3;
		now.line[i] = k & 7; k >>= 3;
	}
	now.quarantine[n] = k & 1; k >>= 1;
	now.floor[n] = k & 7; k >>= 3;
	now.given[n] = k & 7; k >>= 3;
	now.holder[n] = k;
}

static void sort(unsigned long long *k)
{
	unsigned long long t;
	if (k[0] > k[1]) { t = k[0]; k[0] = k[1]; k[1] = t; }
	if (k[1] > k[2]) { t = k[1]; k[1] = k[2]; k[2] = t; }
	if (k[0] > k[1]) { t = k[0]; k[0] = k[1]; k[1] = t; }
}

static int client(int c) { return now.does[c] << 4 | now.token[c] << 1 | now.told[c]; }

/* show prints the state, for the way to an error. */
static void show(void)
{
	static const char *doing[] = {"idle", "ask", "hold", "leave"};
	static const char *lines[] = {"-", "vote", "again", "release", "gave", "gaveagain"};
	int c, n, i;
	for (c = 0; c < 2; c++)
		printf("client %d: %s token %d%s; ", c + 1, doing[now.does[c]], now.token[c], now.told[c] ? " told" : "");
	printf("latest %d last %d restarts %d ends %d\n", now.latest, now.last, now.restarts, now.ends);
	for (n = 0; n < 3; n++) {
		printf("  node: holder %d token %d floor %d%s", now.holder[n], now.given[n], now.floor[n], now.quarantine[n] ? " quarantine" : "");
		for (c = 0; c < 2; c++) {
			i = 3 * c + n;
			printf(" | %d: %s %d%s%s%s%s%s%s%s%s vote %d", c + 1, lines[now.line[i]], now.asked[i], now.behind[i] ? " +release" : "", now.anew[i] ? " +vote" : "",
				now.touched[i] ? " touched" : "", now.freed[i] ? " freed" : "", now.known[i] ? "" : " UNKNOWN", now.believed[i] ? "" : " DOUBTED", now.before[i] ? " before" : "", now.aged[i] ? " aged" : "", now.vote[i]);
		}
		printf("\n");
	}
}

extern int readtrail; /* spin's: it shows the way to an error */

static void settle(void)
{
	unsigned long long k[2][3];
	int way, n, a = client(0), b = client(1), swap = a > b;
	for (way = 0; way < 2; way++) {
		for (n = 0; n < 3; n++)
			k[way][n] = part(n, way);
		sort(k[way]);
	}
	if (a == b)
		for (n = 0; n < 3; n++)
			if (k[0][n] != k[1][n]) {
				swap = k[0][n] > k[1][n];
				break;
			}
	if (swap) {
		n = now.does[0]; now.does[0] = now.does[1]; now.does[1] = n;
		n = now.token[0]; now.token[0] = now.token[1]; now.token[1] = n;
		n = now.told[0]; now.told[0] = now.told[1]; now.told[1] = n;
	}
	for (n = 0; n < 3; n++)
		restore(n, k[swap][n]);
	if (readtrail)
		show();
}
