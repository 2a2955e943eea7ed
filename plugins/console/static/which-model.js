// Hashes a chosen or dropped file here, in the browser, and asks for the digest alone.
"use strict";

const drop = document.getElementById("drop");
const file = document.getElementById("file");
const progress = document.getElementById("progress");

async function ask(chosen) {
  progress.textContent = `Hashing ${chosen.name} …`;
  try {
    const hash = await crypto.subtle.digest("SHA-256", await chosen.arrayBuffer());
    document.getElementById("sha256").value = Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("");
    document.getElementById("ask").submit();
  } catch (error) {
    progress.textContent = `${chosen.name} cannot be read by this browser (${error.name}). Compute its digest yourself and enter it below.`;
  }
}

if (window.isSecureContext && crypto.subtle) {
  drop.hidden = false;
  file.addEventListener("change", () => file.files.length && ask(file.files[0]));
  drop.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files.length) ask(event.dataTransfer.files[0]);
  });
} else {
  document.getElementById("insecure").hidden = false;
}
