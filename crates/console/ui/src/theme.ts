// How the console looks: one colour of its own, quiet surfaces, the fonts of the system.

import { createTheme, type CSSVariablesResolver, type MantineColorsTuple } from '@mantine/core';

const usher: MantineColorsTuple = [
  '#eef1ff', '#dbe1fb', '#b4c0f3', '#8b9dec', '#6a7fe6', '#4f66de', '#4a63e1', '#3b53c8', '#3349b4', '#283d9f',
];

export const theme = createTheme({
  primaryColor: 'usher',
  primaryShade: { light: 7, dark: 5 },
  colors: { usher },
  autoContrast: true,
  defaultRadius: 'md',
  fontFamily: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif",
  fontFamilyMonospace: "ui-monospace, 'Cascadia Code', 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace",
  headings: { fontWeight: '650' },
  cursorType: 'pointer',
  respectReducedMotion: true,
});

/** Text colours that everybody can read: at least 4.5 to 1 on what they stand on. */
export const readable: CSSVariablesResolver = () => ({
  variables: { '--mantine-color-red-filled': '#c22525', '--mantine-color-red-filled-hover': '#a61e1e' },
  light: {
    '--mantine-color-dimmed': '#55607a',
    '--mantine-color-placeholder': '#667085',
    '--mantine-color-error': '#c22525',
    '--mantine-color-red-text': '#c22525',
    '--mantine-color-orange-text': '#9a3412',
    '--mantine-color-anchor': '#3349b4',
    '--mantine-color-teal-light-color': '#05604a',
    '--mantine-color-yellow-light-color': '#7a4b00',
    '--mantine-color-orange-light-color': '#8f3a06',
    '--mantine-color-red-light-color': '#a61e1e',
    '--mantine-color-blue-light-color': '#1257a0',
    '--mantine-color-gray-light-color': '#434b5c',
    '--mantine-color-disabled-color': '#667085',
  },
  dark: {
    '--mantine-color-body': '#11141d',
    '--mantine-color-yellow-light': '#3a2e12',
    '--mantine-color-teal-light': '#12352c',
    '--mantine-color-orange-light': '#40260f',
    '--mantine-color-red-light': '#401d20',
    '--mantine-color-gray-light': '#262c3b',
    '--mantine-color-usher-light': '#232c57',
    '--mantine-color-disabled': '#262c3b',
    '--mantine-color-disabled-color': '#9aa4ba',
    '--mantine-color-text': '#dfe5f4',
    '--mantine-color-dark-4': '#333b50',
    '--mantine-color-dark-5': '#262d3f',
    '--mantine-color-dark-6': '#1b2030',
    '--mantine-color-dimmed': '#a6b0c6',
    '--mantine-color-placeholder': '#8f99ae',
    '--mantine-color-default': '#1b2030',
    '--mantine-color-default-hover': '#232a3d',
    '--mantine-color-default-border': '#333b50',
    '--mantine-color-error': '#ff8f8f',
    '--mantine-color-red-text': '#ff8f8f',
    '--mantine-color-orange-text': '#ffb37a',
    '--mantine-color-anchor': '#a9b8ff',
    '--mantine-color-usher-light-color': '#c3cdfb',
    '--mantine-color-usher-text': '#a9b8ff',
    '--mantine-color-teal-light-color': '#7fe3c8',
    '--mantine-color-yellow-light-color': '#ffd98a',
    '--mantine-color-orange-light-color': '#ffb98a',
    '--mantine-color-red-light-color': '#ffb0b0',
    '--mantine-color-blue-light-color': '#9cc7ff',
    '--mantine-color-gray-light-color': '#c6cedf',
    '--mantine-color-gray-text': '#c6cedf',
  },
});

/** The page's nonce, without which its policy lets no script make a style. */
export const nonce = document.querySelector('meta[name="usher-nonce"]')?.getAttribute('content') ?? '';
