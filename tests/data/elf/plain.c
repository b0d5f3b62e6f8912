/* Neither sections nor headers: what nobody calls is a program. */
static __attribute__((noinline)) int helper(int x)
{
	return x + 1;
}

__attribute__((noinline)) int called(int x)
{
	return helper(x) * 2;
}

int entry(int *ctx)
{
	return called(*ctx);
}
