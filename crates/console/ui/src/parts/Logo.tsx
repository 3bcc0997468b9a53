// The mark of Usher: a gate, and somebody in it.

export function Logo({ size }: { size: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 64 64" aria-hidden="true" focusable="false">
      <rect width="64" height="64" rx="15" fill="#3346c8" />
      <path d="M17 15v19c0 8.6 6.6 15 15 15s15-6.4 15-15V15" fill="none" stroke="#fff" strokeWidth="7" strokeLinecap="round" />
      <circle cx="32" cy="30" r="5.5" fill="#6ee7c8" />
    </svg>
  );
}
