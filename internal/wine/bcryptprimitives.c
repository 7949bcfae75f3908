// Go programs draw their random numbers from ProcessPrng of bcryptprimitives.dll,
// which wine has only had since version 9. This stands in for it in older ones.
#include <windows.h>
#include <ntsecapi.h>

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size)
{
	return RtlGenRandom(data, size);
}
