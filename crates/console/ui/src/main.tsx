// The console begins here.

import '@mantine/core/styles.css';
import './app.css';
// Before the router, which keeps what stands in the address.
import './lib/back';

import { localStorageColorSchemeManager, MantineProvider } from '@mantine/core';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { setNonce } from 'get-nonce';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';

import { Refused } from './lib/api';
import { makeRouter } from './router';
import { nonce, readable, theme } from './theme';

// What keeps a page from scrolling behind a dialog makes a style of its own.
setNonce(nonce);

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      // What Usher refused it refuses again; what it didn't answer, it may.
      retry: (failures, error) => failures < 2 && !(error instanceof Refused && error.status !== 0 && error.status < 500),
      staleTime: 2_000,
      refetchOnWindowFocus: true,
    },
  },
});
const router = makeRouter(queries);
const schemes = localStorageColorSchemeManager({ key: 'usher-colours' });

const root = document.getElementById('root');
if (root) {
  createRoot(root).render(
    <StrictMode>
      <MantineProvider theme={theme} defaultColorScheme="auto" colorSchemeManager={schemes} cssVariablesResolver={readable} getStyleNonce={() => nonce}>
        <QueryClientProvider client={queries}>
          <RouterProvider router={router} />
        </QueryClientProvider>
      </MantineProvider>
    </StrictMode>,
  );
}
