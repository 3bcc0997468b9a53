import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

// The address of a running Usher for `npx vite`: a console that reloads while one works on it.
const usher = process.env.USHER_ADMIN ?? 'http://127.0.0.1:9180';

export default defineConfig({
  base: '/ui/',
  plugins: [react()],
  build: {
    outDir: process.env.USHER_DIST ?? '../dist',
    emptyOutDir: true,
    sourcemap: false,
    modulePreload: { polyfill: false },
    // An inlined file would be an address that the policy of the page doesn't admit.
    assetsInlineLimit: 0,
    target: 'es2022',
  },
  server: { proxy: { '/usher/v1': { target: usher, headers: { origin: usher } } } },
});
